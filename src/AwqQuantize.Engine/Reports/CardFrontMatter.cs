namespace AwqQuantize.Engine.Reports;

/// <summary>
/// The YAML block at the head of a Hub model card, as far as it is carried over: whole top-level entries, word for word.
/// </summary>
internal sealed class CardFrontMatter
{
    private readonly Dictionary<string, string[]> entries;

    private CardFrontMatter(Dictionary<string, string[]> entries, string body)
    {
        this.entries = entries;
        Body = body;
    }

    /// <summary>The card without the block.</summary>
    public string Body { get; }

    /// <summary>The lines of a top-level entry, its own first; null where it is not there.</summary>
    public string[]? Entry(string key) => entries.GetValueOrDefault(key);

    public static CardFrontMatter Parse(string card)
    {
        var lines = card.TrimStart('\uFEFF').ReplaceLineEndings("\n").Split('\n');
        var entries = new Dictionary<string, string[]>(StringComparer.Ordinal);
        var end = lines[0].TrimEnd() == "---" ? Array.FindIndex(lines, 1, l => l.TrimEnd() == "---") : -1;
        if (end < 0)
            return new CardFrontMatter(entries, string.Join('\n', lines));
        for (var i = 1; i < end;)
        {
            var start = i++;
            // What is indented, or a list's item, belongs to the entry before it.
            while (i < end && (lines[i].Length == 0 || lines[i][0] is ' ' or '\t' or '-'))
                i++;
            var colon = lines[start].IndexOf(':');
            if (colon > 0)
                entries[lines[start][..colon].Trim()] = lines[start..i];
        }
        return new CardFrontMatter(entries, string.Join('\n', lines[(end + 1)..]));
    }
}
