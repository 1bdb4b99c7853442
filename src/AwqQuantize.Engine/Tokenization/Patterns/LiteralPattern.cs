namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>A string, found ordinally.</summary>
internal sealed class LiteralPattern(string literal) : TextPattern
{
    public string Literal { get; } = literal;

    public override bool NextMatch(ref MatchCursor cursor, out int start, out int end)
    {
        int found = Literal.Length == 0 ? -1 : cursor.Text[cursor.Position..].IndexOf(Literal, StringComparison.Ordinal);
        start = cursor.Position + found;
        end = start + Literal.Length;
        cursor.Position = end;
        return found >= 0;
    }
}
