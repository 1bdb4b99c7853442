using System.Buffers;
using System.Text;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>
/// Byte pair encoding (Sennrich et al., arXiv:1508.07909) with the options and the order of merges of Hugging Face's
/// tokenizers. Time is n log n in the length of a piece.
/// </summary>
internal sealed class BpeModel : TokenModel
{
    private const int CachedLength = 128;

    private readonly BpeOptions options;
    private readonly MergeTable merges;
    private readonly int[] symbolOfByte = new int[256];
    private readonly int[] symbolOfChar = new int[char.MaxValue + 1];
    private readonly int[]? fallbackOfByte;
    private readonly int unknownId = -1;
    private readonly bool plainSymbols;
    private readonly bool bytesComplete;
    private readonly WordBoundaries? boundaries;

    /// <param name="pairs">The merges, best first.</param>
    public BpeModel(Vocabulary vocabulary, List<MergePair> pairs, BpeOptions options)
        : base(vocabulary)
    {
        this.options = options;
        plainSymbols = string.IsNullOrEmpty(options.ContinuingSubwordPrefix) && string.IsNullOrEmpty(options.EndOfWordSuffix);
        merges = MergeTable.Make(vocabulary.Tokens, pairs, Encoding.UTF8.GetByteCount(options.ContinuingSubwordPrefix ?? ""));
        FindSymbols(vocabulary.Tokens);

        for (int value = 0; value < 256; value++)
        {
            symbolOfByte[value] = symbolOfChar[ByteAlphabet.ToChar((byte)value)];
        }

        bytesComplete = plainSymbols && !symbolOfByte.Contains(-1);
        if (options.ByteFallback)
        {
            fallbackOfByte = [.. Enumerable.Range(0, 256).Select(value => IdOf($"<0x{value:X2}>") ?? -1)];
        }

        if (options.UnknownToken is { } unknown)
        {
            unknownId = IdOf(unknown) ?? -1;
        }

        if (plainSymbols && !options.IgnoreMerges && !vocabulary.HasSharedIds)
        {
            boundaries = WordBoundaries.Find(pairs, vocabulary.Tokens, symbolOfChar, options);
        }
    }

    public override void Encode(in Piece piece, EncodingWorkspace workspace)
    {
        ReadOnlySpan<char> text = piece.Span;
        if (boundaries is null || piece.BytesPending)
        {
            EncodeWord(text, piece.BytesPending, workspace);
            return;
        }

        while (text.Length > 0)
        {
            int length = boundaries.NextBoundary(text);
            EncodeWord(text[..length], bytesPending: false, workspace);
            text = text[length..];
        }
    }

    /// <summary>The tokens that are one UTF-16 code unit.</summary>
    private void FindSymbols(TokenTable tokens)
    {
        Array.Fill(symbolOfChar, -1);
        for (int index = 0; index < tokens.Count; index++)
        {
            ReadOnlySpan<byte> token = tokens.Utf8At(index);
            if (token.Length is > 0 and <= 3 && Rune.DecodeFromUtf8(token, out Rune rune, out int length) == OperationStatus.Done && length == token.Length)
            {
                symbolOfChar[rune.Value] = tokens.IdAt(index);
            }
        }
    }

    private void EncodeWord(ReadOnlySpan<char> text, bool bytesPending, EncodingWorkspace workspace)
    {
        bool cached = text.Length <= CachedLength;
        if (cached && workspace.TryAppendCached(text))
        {
            return;
        }

        int first = workspace.Ids.Count;
        if (bytesPending)
        {
            EncodeBytes(text, workspace);
        }
        else
        {
            EncodeChars(text, workspace);
        }

        if (cached)
        {
            workspace.Remember(text, first);
        }
    }

    private void EncodeBytes(ReadOnlySpan<char> text, EncodingWorkspace workspace)
    {
        MergeScratch scratch = workspace.Merge;
        byte[] bytes = scratch.BytesOf(Encoding.UTF8.GetMaxByteCount(text.Length));
        int count = Encoding.UTF8.GetBytes(text, bytes);
        if (options.IgnoreMerges || !bytesComplete)
        {
            char[] chars = scratch.CharsOf(count);
            for (int i = 0; i < count; i++)
            {
                chars[i] = ByteAlphabet.ToChar(bytes[i]);
            }

            if (!bytesComplete)
            {
                EncodeChars(chars.AsSpan(0, count), workspace);
                return;
            }

            if (Vocabulary.TryGetId(chars.AsSpan(0, count), out int whole))
            {
                workspace.Ids.Add(whole);
                return;
            }
        }

        scratch.Clear();
        for (int i = 0; i < count; i++)
        {
            scratch.Add(symbolOfByte[bytes[i]]);
        }

        scratch.MergeInto(workspace.Ids, merges, Vocabulary.HasSharedIds);
    }

    private void EncodeChars(ReadOnlySpan<char> text, EncodingWorkspace workspace)
    {
        if (options.IgnoreMerges && Vocabulary.TryGetId(text, out int whole))
        {
            workspace.Ids.Add(whole);
            return;
        }

        MergeScratch scratch = workspace.Merge;
        scratch.Clear();
        bool pendingUnknown = false;
        for (int i = 0; i < text.Length;)
        {
            int length = char.IsHighSurrogate(text[i]) ? 2 : 1;
            int id = SymbolOf(text, i, length);
            if (id >= 0)
            {
                if (pendingUnknown)
                {
                    scratch.Add(unknownId);
                    pendingUnknown = false;
                }

                scratch.Add(id);
            }
            else if (!TryAddFallback(text, i, length, scratch) && options.UnknownToken is { } unknown)
            {
                if (unknownId < 0)
                {
                    throw TokenizerErrors.Invalid($"its unknown token '{unknown}' is not in the vocabulary, but the text needs it");
                }

                if (pendingUnknown && !options.FuseUnknown)
                {
                    scratch.Add(unknownId);
                }

                // It waits for the next known character, as in the original: bytes of the fallback overtake it.
                pendingUnknown = true;
            }

            i += length;
        }

        if (pendingUnknown)
        {
            scratch.Add(unknownId);
        }

        scratch.MergeInto(workspace.Ids, merges, Vocabulary.HasSharedIds);
    }

    private int SymbolOf(ReadOnlySpan<char> text, int start, int length)
    {
        if (plainSymbols)
        {
            return length == 1 ? symbolOfChar[text[start]]
                : Vocabulary.TryGetId(text.Slice(start, length), out int pair) ? pair : -1;
        }

        return IdOf(Decorated(text, start, length)) ?? -1;
    }

    private string Decorated(ReadOnlySpan<char> text, int start, int length)
    {
        string? prefix = start == 0 ? null : options.ContinuingSubwordPrefix;
        string? suffix = start + length == text.Length ? options.EndOfWordSuffix : null;
        return string.Concat(prefix, text.Slice(start, length), suffix);
    }

    private bool TryAddFallback(ReadOnlySpan<char> text, int start, int length, MergeScratch scratch)
    {
        if (fallbackOfByte is null)
        {
            return false;
        }

        byte[] bytes = plainSymbols ? [] : Encoding.UTF8.GetBytes(Decorated(text, start, length));
        Span<byte> plain = stackalloc byte[4];
        ReadOnlySpan<byte> utf8 = plainSymbols ? plain[..Encoding.UTF8.GetBytes(text.Slice(start, length), plain)] : bytes;
        foreach (byte value in utf8)
        {
            if (fallbackOfByte[value] < 0)
            {
                return false;
            }
        }

        foreach (byte value in utf8)
        {
            scratch.Add(fallbackOfByte[value]);
        }

        return true;
    }
}
