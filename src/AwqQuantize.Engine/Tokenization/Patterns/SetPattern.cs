using System.Text;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>One character out of a set.</summary>
internal sealed class SetPattern(Func<int, bool> contains) : TextPattern
{
    public override bool NextMatch(ref MatchCursor cursor, out int start, out int end)
    {
        ReadOnlySpan<char> text = cursor.Text;
        for (start = cursor.Position; start < text.Length; start = end)
        {
            Rune.DecodeFromUtf16(text[start..], out Rune rune, out int length);
            end = start + length;
            if (contains(rune.Value))
            {
                cursor.Position = end;
                return true;
            }
        }

        end = start;
        return false;
    }
}
