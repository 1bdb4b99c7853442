using System.Buffers;
using AwqQuantize.Engine.Tokenization.Models;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Finds the leftmost, and of these the longest, of many strings in a text.</summary>
internal sealed class TokenTrie
{
    private readonly CharTrie trie = new();
    private readonly SearchValues<char> firstChars;
    private readonly bool isEmpty;

    public TokenTrie(IEnumerable<(string Content, int Id)> tokens)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach ((string content, int id) in tokens)
        {
            if (content.Length == 0)
            {
                throw TokenizerErrors.Invalid($"the normalizer leaves nothing of the added token with id {id}");
            }

            if (!ids.TryAdd(content, id))
            {
                throw TokenizerErrors.Invalid($"the added tokens with ids {ids[content]} and {id} are looked for as the same text");
            }

            trie.Add(content, id);
        }

        isEmpty = ids.Count == 0;
        firstChars = SearchValues.Create(ids.Keys.Select(content => content[0]).Distinct().ToArray());
    }

    public readonly record struct Match(int Start, int End, int Id);

    public Match? FindNext(string text, int from)
    {
        if (isEmpty)
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
        for (int end = start; end < text.Length && (node = trie.Child(node, text[end])) >= 0;)
        {
            end++;
            if (trie.Value(node) is int id and >= 0)
            {
                longest = new Match(start, end, id);
            }
        }

        return longest;
    }
}
