using AwqQuantize.Engine.Tokenization.Decoders;
using AwqQuantize.Engine.Tokenization.Models;
using AwqQuantize.Engine.Tokenization.Normalizers;
using AwqQuantize.Engine.Tokenization.PreTokenizers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>The parts of a tokenizer, in the order in which they run; whatever file they came from.</summary>
internal sealed record TokenizerDefinition
{
    public required TokenModel Model { get; init; }

    public IReadOnlyList<AddedToken> AddedTokens { get; init; } = [];

    public TextNormalizer? Normalizer { get; init; }

    /// <summary>The steps one after the other; each splits every piece of the one before it.</summary>
    public IReadOnlyList<PieceSplitter> PreTokenizer { get; init; } = [];

    public TokenTemplate Template { get; init; } = TokenTemplate.None;

    /// <summary>Where transformers replaces the file's template: the tokens before the text.</summary>
    public IReadOnlyList<string>? PrefixTokens { get; init; }

    /// <summary>Where transformers replaces the file's template: the tokens after the text.</summary>
    public IReadOnlyList<string>? SuffixTokens { get; init; }

    public TokenDecoder? Decoder { get; init; }

    /// <summary>The beginning and end of sequence tokens that tokenizer_config.json names.</summary>
    public string? BosToken { get; init; }

    public string? EosToken { get; init; }
}
