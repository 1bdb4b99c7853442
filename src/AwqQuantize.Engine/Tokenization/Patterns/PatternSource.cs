using System.Globalization;
using System.Text;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>The text of a pattern while it is parsed: where the parser stands, what is read there, and the errors that name it.</summary>
internal sealed class PatternSource(string source)
{
    private const int DeepestNesting = 64;

    private int depth;

    public int Position { get; set; }

    public bool AtEnd => Position >= source.Length;

    public int Length => source.Length;

    public char this[int index] => source[index];

    public string Slice(int start, int end) => source[start..end];

    /// <summary>The character so many places ahead; NUL behind the end.</summary>
    public char Peek(int ahead = 0) => Position + ahead < source.Length ? source[Position + ahead] : '\0';

    public bool TryTake(string expected)
    {
        if (string.CompareOrdinal(source, Position, expected, 0, expected.Length) != 0)
        {
            return false;
        }

        Position += expected.Length;
        return true;
    }

    /// <summary>What stands before the next <paramref name="closing"/>, which is passed over; null where there is none.</summary>
    public string? TakeUntil(string closing)
    {
        int close = source.IndexOf(closing, Position, StringComparison.Ordinal);
        if (close < 0)
        {
            return null;
        }

        string taken = source[Position..close];
        Position = close + closing.Length;
        return taken;
    }

    public void Enter()
    {
        if (++depth > DeepestNesting)
        {
            throw Malformed("nested too deeply");
        }
    }

    public void Leave() => depth--;

    public int ReadCodePoint()
    {
        int codePoint = char.ConvertToUtf32(source, Position);
        Position += codePoint > char.MaxValue ? 2 : 1;
        return codePoint;
    }

    /// <summary>The character that an escape stands for, from its backslash on.</summary>
    public int ReadEscapedCodePoint()
    {
        char c = Peek(1);
        Position += 2;
        switch (c)
        {
            case '\0':
                throw Malformed("end pattern at escape");
            case 't':
                return '\t';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 'f':
                return '\f';
            case 'v':
                return '\v';
            case 'a':
                return '\a';
            case 'e':
                return 0x1B;
            case 'u':
                return ReadHex(4);
            case 'x' when Peek(0) == '{':
                int close = source.IndexOf('}', Position);
                Position++;
                int wide = ReadHex(close - Position);
                Position++;
                return wide;
            case 'x':
                int narrow = ReadHex(2);
                return narrow < 0x80 ? narrow : throw NotTranslated("a byte escape");
            default:
                if (char.IsAsciiLetterOrDigit(c))
                {
                    throw NotTranslated($"the escape '\\{c}'");
                }

                Position--;
                return ReadCodePoint();
        }
    }

    public AwqException Malformed(string why) => TokenizerErrors.Invalid($"the regular expression '{Shown}': {why}");

    public AwqException NotTranslated(string what) => TokenizerErrors.NotSupported($"{what} in the regular expression '{Shown}'");

    private string Shown => source.Length <= 80 ? source : source[..80] + "…";

    private int ReadHex(int digits)
    {
        if (digits is < 1 or > 8 || Position + digits > source.Length
            || !int.TryParse(source.AsSpan(Position, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value)
            || !Rune.IsValid(value))
        {
            throw Malformed("invalid code point value");
        }

        Position += digits;
        return value;
    }
}
