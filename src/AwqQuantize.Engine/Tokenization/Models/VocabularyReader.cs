using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>
/// Reads the long lists of tokenizer files, tokens and merges, as they come by, without a tree and without strings. A token
/// must be UTF-8; a merge is, or it names no token.
/// </summary>
internal sealed class VocabularyReader
{
    private byte[] unescaped = new byte[256];

    /// <summary>An object of tokens and ids.</summary>
    /// <param name="capacity">How many tokens to expect.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public TokenTable ReadTokens(ref Utf8JsonReader reader, int capacity)
    {
        var tokens = new TokenTable(capacity);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            ReadOnlySpan<byte> token = ValidUtf8(ref reader);
            reader.Read();
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out int id) || id < 0)
            {
                throw TokenizerErrors.Invalid($"the id of the token '{Encoding.UTF8.GetString(token)}' is not a number from 0 to 2147483647");
            }

            tokens.Add(token, id);
        }

        return tokens;
    }

    /// <summary>A list of pairs of piece and score; the id is the place in the list.</summary>
    public TokenTable ReadScoredTokens(ref Utf8JsonReader reader, List<double> scores)
    {
        var tokens = new TokenTable();
        while (reader.Read() && reader.TokenType == JsonTokenType.StartArray)
        {
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
            {
                throw TokenizerErrors.Invalid("a piece of the vocabulary is not a string");
            }

            tokens.Add(ValidUtf8(ref reader), scores.Count);
            reader.Read();
            scores.Add(reader.GetDouble());
            reader.Read();
            if (reader.TokenType != JsonTokenType.EndArray)
            {
                throw TokenizerErrors.Invalid("a piece of the vocabulary is not a pair of text and score");
            }
        }

        return tokens;
    }

    /// <summary>A list of merges, each a line or a pair of tokens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public List<MergePair> ReadMerges(ref Utf8JsonReader reader, TokenTable tokens)
    {
        var pairs = new List<MergePair>(tokens.Count);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType == JsonTokenType.StartArray)
            {
                pairs.Add(ReadPair(ref reader, tokens, pairs.Count));
            }
            else if (reader.TokenType == JsonTokenType.String)
            {
                AddLine(Utf8(ref reader), tokens, pairs);
            }
            else
            {
                throw TokenizerErrors.Invalid($"merge {pairs.Count} is neither a string nor a pair");
            }
        }

        return pairs;
    }

    /// <summary>Adds a merge given as a line: two tokens with one space between them. The version line is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddLine(ReadOnlySpan<byte> line, TokenTable tokens, List<MergePair> pairs)
    {
        if (line.StartsWith("#version"u8))
        {
            return;
        }

        int space = line.IndexOf((byte)' ');
        if (space < 0 || line[(space + 1)..].Contains((byte)' '))
        {
            throw TokenizerErrors.Invalid($"merge {pairs.Count} is not two tokens with a space between them");
        }

        var pair = new MergePair(tokens.IndexOf(line[..space]), tokens.IndexOf(line[(space + 1)..]));
        if (pair.Left < 0 || pair.Right < 0)
        {
            throw MergeTable.NotInVocabulary(pairs.Count, Encoding.UTF8.GetString(line[..space]), Encoding.UTF8.GetString(line[(space + 1)..]));
        }

        pairs.Add(pair);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private MergePair ReadPair(ref Utf8JsonReader reader, TokenTable tokens, int rank)
    {
        Utf8JsonReader start = reader;
        int left = ReadKnown(ref reader, tokens, rank);
        int right = ReadKnown(ref reader, tokens, rank);
        reader.Read();
        if (reader.TokenType != JsonTokenType.EndArray)
        {
            throw NoPair(rank);
        }

        return left >= 0 && right >= 0 ? new MergePair(left, right) : throw Unknown(start, rank);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int ReadKnown(ref Utf8JsonReader reader, TokenTable tokens, int rank)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.String ? tokens.IndexOf(Utf8(ref reader)) : throw NoPair(rank);
    }

    private static AwqException NoPair(int rank) => TokenizerErrors.Invalid($"merge {rank} is not a pair of strings");

    private static AwqException Unknown(Utf8JsonReader pair, int rank)
    {
        pair.Read();
        string left = pair.GetString()!;
        pair.Read();
        return MergeTable.NotInVocabulary(rank, left, pair.GetString()!);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ReadOnlySpan<byte> ValidUtf8(ref Utf8JsonReader reader)
    {
        ReadOnlySpan<byte> token = Utf8(ref reader);
        return System.Text.Unicode.Utf8.IsValid(token) ? token : throw TokenizerErrors.Invalid("a token of the vocabulary is not UTF-8");
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ReadOnlySpan<byte> Utf8(ref Utf8JsonReader reader) => reader.ValueIsEscaped ? Unescaped(ref reader) : reader.ValueSpan;

    private ReadOnlySpan<byte> Unescaped(ref Utf8JsonReader reader)
    {
        if (unescaped.Length < reader.ValueSpan.Length)
        {
            unescaped = new byte[reader.ValueSpan.Length * 2];
        }

        return unescaped.AsSpan(0, reader.CopyString(unescaped));
    }
}
