using System.Runtime.CompilerServices;
using System.Text;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>
/// Places before "▁" over which no merge can ever reach, because no merged token has these two characters side by side.
/// Models without a pre-tokenizer (Llama 2, Gemma, InternLM 2) see a whole text as one piece; cut there, it gives the
/// same ids, and words are found in the cache.
/// </summary>
internal sealed class WordBoundaries
{
    private const char Space = '\u2581';

    private static ReadOnlySpan<byte> SpaceUtf8 => "\u2581"u8;

    private readonly HashSet<char> joinedToSpace;

    private WordBoundaries(HashSet<char> joinedToSpace) => this.joinedToSpace = joinedToSpace;

    /// <returns>Null where cutting is not safe.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static WordBoundaries? Find(List<MergePair> pairs, TokenTable tokens, int[] symbolOfChar, BpeOptions options)
    {
        // An unknown "▁" would be fused with its neighbours or become bytes, which have their own merges.
        if (symbolOfChar[Space] < 0)
        {
            return null;
        }

        var joined = new HashSet<char>();
        byte[]? unknown = options.UnknownToken is { } token ? Encoding.UTF8.GetBytes(token) : null;
        for (int i = 0; i < pairs.Count; i++)
        {
            MergePair pair = pairs[i];
            ReadOnlySpan<byte> left = tokens.Utf8At(pair.Left);
            ReadOnlySpan<byte> right = tokens.Utf8At(pair.Right);
            if (left.Length == 0 || right.Length == 0 || StandsForOthers(left, unknown, options) || StandsForOthers(right, unknown, options))
            {
                return null;
            }

            // Every token longer than a symbol is made by a merge, so looking at the seams finds all neighbours.
            if (right.StartsWith(SpaceUtf8))
            {
                joined.Add(tokens.TokenAt(pair.Left)[^1]);
            }
        }

        return new WordBoundaries(joined);
    }

    /// <returns>Where the first cut may be made, or the length of the text.</returns>
    public int NextBoundary(ReadOnlySpan<char> text)
    {
        for (int from = 1; from < text.Length;)
        {
            int found = text[from..].IndexOf(Space);
            if (found < 0)
            {
                break;
            }

            int boundary = from + found;
            if (!joinedToSpace.Contains(text[boundary - 1]))
            {
                return boundary;
            }

            from = boundary + 1;
        }

        return text.Length;
    }

    // Its characters are not those of the text that it came from.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool StandsForOthers(ReadOnlySpan<byte> token, byte[]? unknown, BpeOptions options) =>
        (unknown is not null && token.SequenceEqual(unknown))
        || (options.ByteFallback && token.Length == 6 && token.StartsWith("<0x"u8) && token[5] == '>');
}
