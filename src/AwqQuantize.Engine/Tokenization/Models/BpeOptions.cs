namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>The flags of a BPE model in tokenizer.json.</summary>
internal sealed record BpeOptions
{
    public string? UnknownToken { get; init; }

    public string? ContinuingSubwordPrefix { get; init; }

    public string? EndOfWordSuffix { get; init; }

    /// <summary>Neighbouring unknown characters become one unknown token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>An unknown character becomes the tokens <c>&lt;0xNN&gt;</c> of its UTF-8 bytes, if all of them exist.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>A piece that is in the vocabulary is that token, whatever the merges would make of it.</summary>
    public bool IgnoreMerges { get; init; }
}
