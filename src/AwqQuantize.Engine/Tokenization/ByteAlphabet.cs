using System.Buffers;
using System.Text;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// GPT-2's alphabet: every byte has a printable character, so that byte sequences can be written in JSON as text.
/// Bytes that print in Latin-1 stand for themselves, the others follow from U+0100 on.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] CharOfByte = MakeChars();
    private static readonly short[] ByteOfChar = MakeBytes();

    public static char ToChar(byte value) => CharOfByte[value];

    /// <returns>The byte that the character stands for, or -1.</returns>
    public static int ToByte(char value) => value < ByteOfChar.Length ? ByteOfChar[value] : -1;

    /// <summary>The text's UTF-8 bytes, each as its character.</summary>
    public static string Map(ReadOnlySpan<char> text)
    {
        byte[] bytes = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(text.Length));
        try
        {
            int count = Encoding.UTF8.GetBytes(text, bytes);
            return string.Create(count, bytes, static (chars, source) =>
            {
                for (int i = 0; i < chars.Length; i++)
                {
                    chars[i] = CharOfByte[source[i]];
                }
            });
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private static char[] MakeChars()
    {
        var chars = new char[256];
        int next = 256;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            chars[value] = (char)(printable ? value : next++);
        }

        return chars;
    }

    private static short[] MakeBytes()
    {
        var bytes = new short[CharOfByte.Max() + 1];
        Array.Fill(bytes, (short)-1);
        for (int value = 0; value < 256; value++)
        {
            bytes[CharOfByte[value]] = (short)value;
        }

        return bytes;
    }
}
