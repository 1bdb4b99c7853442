using System.Buffers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Finds the leftmost, and of these the longest, of many strings in a text.</summary>
internal sealed class TokenTrie
{
    private readonly List<Dictionary<char, int>> nodes = [[]];
    private readonly List<int> values = [-1];
    private readonly SearchValues<char> firstChars;

    public TokenTrie(IEnumerable<(string Content, int Id)> tokens)
    {
        foreach ((string content, int id) in tokens)
        {
            int node = 0;
            foreach (char c in content)
            {
                if (!nodes[node].TryGetValue(c, out int child))
                {
                    child = nodes.Count;
                    nodes.Add([]);
                    values.Add(-1);
                    nodes[node].Add(c, child);
                }

                node = child;
            }

            if (node == 0)
            {
                throw TokenizerErrors.Invalid($"the normalizer leaves nothing of the added token with id {id}");
            }

            if (values[node] >= 0)
            {
                throw TokenizerErrors.Invalid($"the added tokens with ids {values[node]} and {id} are looked for as the same text");
            }

            values[node] = id;
        }

        firstChars = SearchValues.Create(nodes[0].Keys.ToArray());
    }

    public readonly record struct Match(int Start, int End, int Id);

    public Match? FindNext(string text, int from)
    {
        if (nodes.Count == 1)
        {
            return null;
        }

        for (int start = from; start < text.Length; start++)
        {
            int skip = text.AsSpan(start).IndexOfAny(firstChars);
            if (skip < 0)
            {
                return null;
            }

            start += skip;
            if (Longest(text, start) is { } match)
            {
                return match;
            }
        }

        return null;
    }

    private Match? Longest(string text, int start)
    {
        Match? longest = null;
        int node = 0;
        for (int i = start; i < text.Length && nodes[node].TryGetValue(text[i], out node); i++)
        {
            if (values[node] >= 0)
            {
                longest = new Match(start, i + 1, values[node]);
            }
        }

        return longest;
    }
}
