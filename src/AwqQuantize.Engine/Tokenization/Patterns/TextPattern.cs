using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>Something that is looked for in text: a literal, a set of characters or a regular expression.</summary>
internal abstract class TextPattern
{
    /// <summary>The next match at or after the cursor; matches do not overlap.</summary>
    public abstract bool NextMatch(ref MatchCursor cursor, out int start, out int end);

    public MatchCursor Cursor(ReadOnlySpan<char> text) => new() { Text = text };
}

/// <summary>How far a pattern has come in a text.</summary>
internal ref struct MatchCursor
{
    public ReadOnlySpan<char> Text;
    public int Position;
    public bool Started;
    public Regex.ValueMatchEnumerator Matches;

    /// <summary>Offsets in the text of each character that the regular expression sees, where these differ.</summary>
    public int[]? Offsets;
}
