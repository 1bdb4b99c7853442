using System.Text;
using AwqQuantize.Engine.Tokenization.Patterns;

namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>Replaces every match of a pattern by a string, taken literally.</summary>
internal sealed class ReplaceNormalizer(TextPattern pattern, string replacement) : TextNormalizer
{
    public override string Normalize(string original)
    {
        if (original.Length == 0)
        {
            return original;
        }

        if (pattern is LiteralPattern { Literal.Length: > 0 } literal)
        {
            return original.Replace(literal.Literal, replacement, StringComparison.Ordinal);
        }

        StringBuilder? result = null;
        int copied = 0;
        MatchCursor cursor = pattern.Cursor(original);
        while (pattern.NextMatch(ref cursor, out int start, out int end))
        {
            result ??= new StringBuilder(original.Length);
            result.Append(original, copied, start - copied).Append(replacement);
            copied = end;
        }

        return result is null ? original : result.Append(original, copied, original.Length - copied).ToString();
    }

    // The original aligns a replacement with the last character that it replaces.
    public override bool KeepsStart(string original)
    {
        MatchCursor cursor = pattern.Cursor(original);
        return original.Length == 0 || !pattern.NextMatch(ref cursor, out int start, out int end) || start > 0
            || (replacement.Length > 0 && end <= (char.IsHighSurrogate(original[0]) ? 2 : 1));
    }
}
