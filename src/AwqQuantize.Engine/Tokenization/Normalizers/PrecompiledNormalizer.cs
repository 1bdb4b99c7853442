using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>
/// SentencePiece's precompiled character map: a double-array trie of byte strings and what they are replaced by.
/// As Hugging Face applies it: to a grapheme of less than six bytes as a whole, else to each of its characters, and the
/// first (shortest) prefix in the trie decides.
/// </summary>
internal sealed class PrecompiledNormalizer : TextNormalizer
{
    private const int LongestGrapheme = 6;

    private readonly uint[] units;
    private readonly byte[] replacements;

    /// <param name="map">Trie size in bytes (little-endian uint32), the trie's units, then zero-terminated strings.</param>
    public PrecompiledNormalizer(ReadOnlySpan<byte> map)
    {
        uint size = map.Length < 4 ? uint.MaxValue : BinaryPrimitives.ReadUInt32LittleEndian(map);
        if (size > map.Length - 4 || size % 4 != 0)
        {
            throw TokenizerErrors.Invalid("its precompiled character map is cut off");
        }

        units = new uint[size / 4];
        for (int i = 0; i < units.Length; i++)
        {
            units[i] = BinaryPrimitives.ReadUInt32LittleEndian(map[(4 + i * 4)..]);
        }

        replacements = map[(4 + (int)size)..].ToArray();
    }

    public override string Normalize(string original)
    {
        if (original.Length == 0 || units.Length == 0)
        {
            return original;
        }

        var result = new StringBuilder(original.Length);
        for (int start = 0; start < original.Length;)
        {
            int length = StringInfo.GetNextTextElementLength(original, start);
            ReadOnlySpan<char> grapheme = original.AsSpan(start, length);
            start += length;
            if (length < LongestGrapheme && Encoding.UTF8.GetByteCount(grapheme) < LongestGrapheme && TryReplace(grapheme, result))
            {
                continue;
            }

            while (grapheme.Length > 0)
            {
                int width = char.IsHighSurrogate(grapheme[0]) ? 2 : 1;
                if (!TryReplace(grapheme[..width], result))
                {
                    result.Append(grapheme[..width]);
                }

                grapheme = grapheme[width..];
            }
        }

        return result.ToString();
    }

    private bool TryReplace(ReadOnlySpan<char> part, StringBuilder result)
    {
        Span<byte> bytes = stackalloc byte[3 * LongestGrapheme];
        int count = Encoding.UTF8.GetBytes(part, bytes);
        if (ShortestPrefix(bytes[..count]) is not { } offset)
        {
            return false;
        }

        if (offset >= replacements.Length)
        {
            throw TokenizerErrors.Invalid("its precompiled character map points behind its end");
        }

        int end = Array.IndexOf(replacements, (byte)0, offset);
        result.Append(Encoding.UTF8.GetString(replacements.AsSpan(offset, (end < 0 ? replacements.Length : end) - offset)));
        return true;
    }

    // Darts-clone: bit 8 says that a node has a leaf, bits 10 up (or 18 up, by bit 9) where its children are.
    private int? ShortestPrefix(ReadOnlySpan<byte> key)
    {
        uint node = Offset(units[0]);
        foreach (byte c in key)
        {
            if (c == 0)
            {
                return null;
            }

            node ^= c;
            if (node >= units.Length || (units[node] & 0x8000_00FF) != c)
            {
                return null;
            }

            uint unit = units[node];
            node ^= Offset(unit);
            if ((unit & 0x100) != 0)
            {
                return node < units.Length ? (int)(units[node] & 0x7FFF_FFFF) : null;
            }
        }

        return null;
    }

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & 0x200) >> 6);
}
