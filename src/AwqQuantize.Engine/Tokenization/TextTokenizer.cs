using System.Buffers;
using System.Collections.Concurrent;
using AwqQuantize.Engine.Tokenization.Decoders;
using AwqQuantize.Engine.Tokenization.Models;
using Microsoft.ML.Tokenizers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// A model's tokenizer, as Hugging Face's <c>tokenizers</c> 0.23 runs it: the same ids for every text. It is immutable
/// and may be used by any number of threads at once.
/// </summary>
public sealed class TextTokenizer : Tokenizer
{
    private readonly TokenizerDefinition definition;
    private readonly AddedVocabulary added;
    private readonly TokenTemplate template;
    private readonly ConcurrentBag<EncodingWorkspace> workspaces = [];

    internal TextTokenizer(TokenizerDefinition definition)
    {
        this.definition = definition;
        added = new AddedVocabulary(definition.AddedTokens, definition.Model, definition.Normalizer);
        template = definition.PrefixTokens is null ? definition.Template
            : new TokenTemplate(IdsOf(definition.PrefixTokens), IdsOf(definition.SuffixTokens ?? []));
        BosId = IdOf(definition.BosToken);
        EosId = IdOf(definition.EosToken);
    }

    /// <summary>Number of token ids, added tokens included: one more than the greatest id.</summary>
    public int VocabularySize => Math.Max(definition.Model.MaximumId, added.MaximumId) + 1;

    /// <summary>Id of the beginning of sequence token that tokenizer_config.json names; null where it names none.</summary>
    public int? BosId { get; }

    /// <summary>Id of the end of sequence token that tokenizer_config.json names; null where it names none.</summary>
    public int? EosId { get; }

    public override Normalizer? Normalizer => definition.Normalizer;

    /// <summary>Always null: the pre-tokenizers of tokenizer.json can change the text, which the library's cannot say.</summary>
    public override PreTokenizer? PreTokenizer => null;

    /// <summary>Reads the tokenizer of a model folder, as transformers' AutoTokenizer loads it.</summary>
    /// <param name="modelFolder">
    /// Folder with tokenizer.json, or tokenizer.model, or vocab.json and merges.txt, or tekken.json, or a *.tiktoken file.
    /// </param>
    /// <exception cref="AwqException">
    /// <c>TokenizerMissing</c>, <c>TokenizerInvalid</c> or <c>TokenizerPartNotSupported</c>.
    /// </exception>
    public static TextTokenizer Load(string modelFolder) => Load(modelFolder, asTransformers: true);

    /// <param name="asTransformers">
    /// Whether tokenizer_config.json has its say (add_bos_token, add_eos_token, added_tokens_decoder), as it has with
    /// transformers; false runs the tokenizer file alone, as the tokenizers library does.
    /// </param>
    /// <inheritdoc cref="Load(string)"/>
    public static TextTokenizer Load(string modelFolder, bool asTransformers) =>
        new(TokenizerFolder.Read(modelFolder, asTransformers));

    /// <summary>The token ids of a text. Lone surrogates count as U+FFFD.</summary>
    /// <param name="addSpecialTokens">Whether the tokens of the template (such as BOS) are put around the text.</param>
    public int[] Encode(string text, bool addSpecialTokens)
    {
        ArgumentNullException.ThrowIfNull(text);
        EncodingWorkspace workspace = Rent();
        try
        {
            if (addSpecialTokens)
            {
                workspace.Ids.AddRange(template.Prefix);
            }

            EncodeText(WellFormed(text), workspace);
            if (addSpecialTokens)
            {
                workspace.Ids.AddRange(template.Suffix);
            }

            return workspace.Ids.ToArray();
        }
        finally
        {
            Return(workspace);
        }
    }

    /// <summary>The token ids of each text, in the order of the texts; they are encoded in parallel.</summary>
    public int[][] EncodeAll(IReadOnlyList<string> texts, bool addSpecialTokens, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        var ids = new int[texts.Count][];
        try
        {
            Parallel.For(0, ids.Length, new ParallelOptions { CancellationToken = cancellationToken },
                i => ids[i] = Encode(texts[i], addSpecialTokens));
        }
        catch (AggregateException error) when (error.InnerExceptions.OfType<AwqException>().FirstOrDefault() is { } first)
        {
            throw first;
        }

        return ids;
    }

    /// <summary>The text of the token ids; ids that are in no vocabulary are left out.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
    {
        var tokens = new List<string>(ids.Length);
        foreach (int id in ids)
        {
            if (TokenOf(id) is { } token && !(skipSpecialTokens && added.IsSpecial(token)))
            {
                tokens.Add(token);
            }
        }

        return definition.Decoder is { } decoder ? TokenDecoder.Join(decoder.Decode(tokens)) : string.Join(' ', tokens);
    }

    /// <summary>The text of the token ids, special tokens included.</summary>
    public override string Decode(IEnumerable<int> ids) => Decode(ids.ToArray(), skipSpecialTokens: false);

    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        int[] all = ids.ToArray();
        string text = Decode(all, skipSpecialTokens: false);
        bool fits = text.TryCopyTo(destination);
        (idsConsumed, charsWritten) = fits ? (all.Length, text.Length) : (0, 0);
        return fits ? OperationStatus.Done : OperationStatus.DestinationTooSmall;
    }

    /// <summary>Id of a token, written as in the vocabulary; null where there is none.</summary>
    public int? IdOf(string? token) => token is null ? null : added.IdOf(token) ?? definition.Model.IdOf(token);

    /// <summary>The pieces that the model sees, added tokens left out: what the pre-tokenizer made of the text.</summary>
    internal List<string> PreTokenize(string text)
    {
        var pieces = new List<string>();
        EncodingWorkspace workspace = Rent();
        try
        {
            workspace.PieceObserver = piece => pieces.Add(piece.BytesPending ? ByteAlphabet.Map(piece.Span) : piece.Span.ToString());
            EncodeText(WellFormed(text), workspace);
            return pieces;
        }
        finally
        {
            workspace.PieceObserver = null;
            Return(workspace);
        }
    }

    /// <summary>
    /// Special tokens are not added; the offsets are those of <paramref name="textSpan"/>'s whole, because pieces may be
    /// normalized beyond recognition on the way.
    /// </summary>
    protected override EncodeResults<EncodedToken> EncodeToTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        text ??= textSpan.ToString();
        int[] ids = Encode(text, addSpecialTokens: false);
        int count = Math.Min(ids.Length, settings.MaxTokenCount);
        var tokens = new EncodedToken[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = new EncodedToken(ids[i], TokenOf(ids[i]) ?? "", 0..text.Length);
        }

        return new EncodeResults<EncodedToken> { Tokens = tokens, NormalizedText = text, CharsConsumed = text.Length };
    }

    private void EncodeText(string text, EncodingWorkspace workspace)
    {
        foreach (AddedVocabulary.Segment outer in added.SplitRaw(text))
        {
            if (outer.Id >= 0)
            {
                workspace.Ids.Add(outer.Id);
                continue;
            }

            if (outer.Length == 0)
            {
                continue;
            }

            string gap = outer.Length == text.Length ? text : text.Substring(outer.Start, outer.Length);
            bool atStart = outer.Start == 0;
            if (definition.Normalizer is { } normalizer)
            {
                atStart &= normalizer.KeepsStart(gap);
                gap = normalizer.Normalize(gap);
            }

            foreach (AddedVocabulary.Segment inner in added.SplitNormalized(gap))
            {
                if (inner.Id >= 0)
                {
                    workspace.Ids.Add(inner.Id);
                }
                else if (inner.Length > 0)
                {
                    workspace.Entry.Add(new Piece(gap, inner.Start, inner.Length, atStart && inner.Start == 0, false));
                }
            }
        }
    }

    private int[] IdsOf(IEnumerable<string> tokens) =>
        [.. tokens.Select(token => IdOf(token) ?? throw TokenizerErrors.Invalid($"its special token '{token}' has no id"))];

    private string? TokenOf(int id) => added.TokenOf(id) ?? definition.Model.TokenOf(id);

    private EncodingWorkspace Rent() =>
        workspaces.TryTake(out EncodingWorkspace? workspace) ? workspace : new EncodingWorkspace(definition.Model, definition.PreTokenizer);

    private void Return(EncodingWorkspace workspace)
    {
        workspace.Ids.Clear();
        workspaces.Add(workspace);
    }

    // What any encoder to UTF-8 makes of a lone surrogate; everything behind this line may rely on pairs.
    private static string WellFormed(string text)
    {
        int first = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        if (first < 0)
        {
            return text;
        }

        char[]? changed = null;
        for (int i = first; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
            {
                continue;
            }

            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                i++;
                continue;
            }

            changed ??= text.ToCharArray();
            changed[i] = '\uFFFD';
        }

        return changed is null ? text : new string(changed);
    }
}
