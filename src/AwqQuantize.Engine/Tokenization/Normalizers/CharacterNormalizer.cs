using System.Text;

namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>Changes or removes characters one by one, wherever they stand.</summary>
/// <param name="map">Appends what a code point becomes; null is returned where it stays as it is.</param>
internal sealed class CharacterNormalizer(Func<int, int[]?> map) : TextNormalizer
{
    public override string Normalize(string original)
    {
        StringBuilder? result = null;
        Span<char> chars = stackalloc char[2];
        int index = 0;
        foreach (Rune rune in original.EnumerateRunes())
        {
            int[]? target = map(rune.Value);
            if (target is not null)
            {
                result ??= new StringBuilder(original, 0, index, original.Length + 16);
                foreach (int point in target)
                {
                    result.Append(chars[..new Rune(point).EncodeToUtf16(chars)]);
                }
            }
            else
            {
                result?.Append(chars[..rune.EncodeToUtf16(chars)]);
            }

            index += rune.Utf16SequenceLength;
        }

        return result?.ToString() ?? original;
    }

    public override bool KeepsStart(string original) =>
        original.Length == 0 || map(char.ConvertToUtf32(original, 0)) is not [];
}
