using AwqQuantize.Engine.Tokenization.Models;
using AwqQuantize.Engine.Tokenization.Normalizers;
using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// The added tokens: found leftmost-longest in the raw text (<c>normalized: false</c>), then in what the normalizer
/// made of the gaps between them. A token whose content the model knows keeps the model's id; a new one takes the next
/// free id, whatever the file says.
/// </summary>
internal sealed class AddedVocabulary
{
    private readonly Dictionary<string, int> ids = new(StringComparer.Ordinal);
    private readonly Dictionary<int, AddedToken> tokens = [];
    private readonly Dictionary<int, string> normalizedContent = [];
    private readonly HashSet<string> special = new(StringComparer.Ordinal);
    private readonly TokenTrie raw;
    private readonly TokenTrie normalized;

    public AddedVocabulary(IEnumerable<AddedToken> added, TokenModel model, TextNormalizer? normalizer)
    {
        int next = model.Count;
        foreach (AddedToken token in added.Where(token => token.Content.Length > 0))
        {
            int id = ids.TryGetValue(token.Content, out int known) ? known : model.IdOf(token.Content) ?? token.Id ?? next++;
            next = Math.Max(next, token.Id + 1 ?? 0);
            if (token.Normalized && normalizer is not null)
            {
                normalizedContent[id] = normalizer.Normalize(token.Content);
            }

            ids[token.Content] = id;
            tokens[id] = token;
            if (token.Special)
            {
                special.Add(token.Content);
            }
        }

        raw = new TokenTrie(tokens.Where(pair => !pair.Value.Normalized).Select(pair => (pair.Value.Content, pair.Key)));
        normalized = new TokenTrie(tokens.Where(pair => pair.Value.Normalized)
            .Select(pair => (normalizedContent.GetValueOrDefault(pair.Key, pair.Value.Content), pair.Key)));
        MaximumId = tokens.Count == 0 ? -1 : tokens.Keys.Max();
    }

    /// <summary>A stretch of text: an added token, or (<paramref name="Id"/> is -1) a gap between two.</summary>
    public readonly record struct Segment(int Start, int Length, int Id);

    public int MaximumId { get; }

    public int? IdOf(string token) => ids.TryGetValue(token, out int id) ? id : null;

    /// <summary>The token as decoders see it: in its normalized form where it has one.</summary>
    public string? TokenOf(int id) =>
        tokens.TryGetValue(id, out AddedToken? token) ? normalizedContent.GetValueOrDefault(id, token.Content) : null;

    public bool IsSpecial(string token) => special.Contains(token);

    public IReadOnlyList<Segment> SplitRaw(string text) => Split(text, raw);

    public IReadOnlyList<Segment> SplitNormalized(string text) => Split(text, normalized);

    private IReadOnlyList<Segment> Split(string text, TokenTrie trie)
    {
        if (trie.FindNext(text, 0) is not { } match)
        {
            return [new Segment(0, text.Length, -1)];
        }

        var segments = new List<Segment>();
        int covered = 0;
        for (TokenTrie.Match? found = match; found is { } current; found = trie.FindNext(text, current.End))
        {
            AddedToken token = tokens[current.Id];
            int start = current.Start;
            int end = current.End;
            if (token.SingleWord && (WordBefore(text, start) || WordAt(text, end)))
            {
                continue;
            }

            if (token.LeftStrip)
            {
                while (start > covered && char.IsWhiteSpace(text[start - 1]))
                {
                    start--;
                }
            }

            if (token.RightStrip)
            {
                while (end < text.Length && char.IsWhiteSpace(text[end]))
                {
                    end++;
                }
            }

            if (covered < start)
            {
                segments.Add(new Segment(covered, start - covered, -1));
            }

            segments.Add(new Segment(start, end - start, current.Id));
            covered = end;
        }

        if (covered != text.Length)
        {
            segments.Add(new Segment(covered, text.Length - covered, -1));
        }

        return segments;
    }

    private static bool WordBefore(string text, int index)
    {
        if (index == 0)
        {
            return false;
        }

        int start = index >= 2 && char.IsLowSurrogate(text[index - 1]) ? index - 2 : index - 1;
        return UnicodeTables.Word.Contains(char.ConvertToUtf32(text, start));
    }

    private static bool WordAt(string text, int index) =>
        index < text.Length && UnicodeTables.Word.Contains(char.ConvertToUtf32(text, index));
}
