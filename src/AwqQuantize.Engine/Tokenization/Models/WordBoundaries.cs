namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>
/// Places before "▁" over which no merge can ever reach, because no merged token has these two characters side by side.
/// Models without a pre-tokenizer (Llama 2, Gemma, InternLM 2) see a whole text as one piece; cut there, it gives the
/// same ids, and words are found in the cache.
/// </summary>
internal sealed class WordBoundaries
{
    private const char Space = '\u2581';

    private readonly HashSet<char> joinedToSpace;

    private WordBoundaries(HashSet<char> joinedToSpace) => this.joinedToSpace = joinedToSpace;

    /// <returns>Null where cutting is not safe.</returns>
    public static WordBoundaries? Find(IReadOnlyList<MergePair> pairs, int[] symbolOfChar, BpeOptions options)
    {
        // An unknown "▁" would be fused with its neighbours or become bytes, which have their own merges.
        if (symbolOfChar[Space] < 0)
        {
            return null;
        }

        var joined = new HashSet<char>();
        foreach ((string left, string right, _, _) in pairs)
        {
            if (left.Length == 0 || right.Length == 0 || StandsForOthers(left, options) || StandsForOthers(right, options))
            {
                return null;
            }

            // Every token longer than a symbol is made by a merge, so looking at the seams finds all neighbours.
            if (right[0] == Space)
            {
                joined.Add(left[^1]);
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
    private static bool StandsForOthers(string token, BpeOptions options) =>
        token == options.UnknownToken
        || (options.ByteFallback && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>');
}
