using System.Globalization;
using System.Text;
using System.Text.Json;
using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>The Unicode tables against what was read out of the original library, and against the standard's rules.</summary>
public sealed class UnicodeTests
{
    private static readonly Lazy<JsonElement> Recorded = new(() =>
        JsonSerializer.Deserialize<JsonElement>(File.ReadAllBytes(SharedData.Repository("tests/data/tokenizers/unicode9_normalization.json"))));

    [Theory]
    [InlineData("NFD", false, false)]
    [InlineData("NFKD", true, false)]
    [InlineData("NFC", false, true)]
    public void SingleCharactersNormalizeAsRecorded(string form, bool compatibility, bool compose)
    {
        var expected = Recorded.Value.GetProperty(form).EnumerateObject().ToDictionary(entry => int.Parse(entry.Name, CultureInfo.InvariantCulture), entry => entry.Value.GetString()!);
        for (int point = 0; point <= CodePointSet.Maximum; point++)
        {
            if (point is >= 0xD800 and <= 0xDFFF or >= 0xAC00 and <= 0xD7A3)
            {
                continue;
            }

            string text = char.ConvertFromUtf32(point);
            Assert.Equal(expected.GetValueOrDefault(point, text), UnicodeNormalizer.Normalize(text, compatibility, compose));
        }
    }

    /// <summary>Composed is what decomposes to itself: NFC(NFD(x)) = NFC(x), and NFD(NFC(x)) = NFD(x).</summary>
    [Fact]
    public void FormsAgreeWithEachOther()
    {
        var random = new Random(11);
        int[] starts = [0x41, 0xC0, 0x300, 0x323, 0x1100, 0x1161, 0x11A8, 0xAC00, 0x0928, 0x093C, 0x30AB, 0x3099, 0x1D158, 0x1D165];
        for (int round = 0; round < 20_000; round++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 8)).Select(_ => char.ConvertFromUtf32(starts[random.Next(starts.Length)] + random.Next(16))));
            string decomposed = UnicodeNormalizer.Normalize(text, false, false);
            string composed = UnicodeNormalizer.Normalize(text, false, true);

            Assert.Equal(composed, UnicodeNormalizer.Normalize(decomposed, false, true));
            Assert.Equal(decomposed, UnicodeNormalizer.Normalize(composed, false, false));
            Assert.Equal(composed, UnicodeNormalizer.Normalize(composed, false, true));
        }
    }

    [Theory]
    [InlineData("e\u0301", "é")]
    [InlineData("\u0065\u0323\u0301", "ẹ\u0301")]
    [InlineData("\u0065\u0301\u0323", "ẹ\u0301")]
    [InlineData("\u1100\u1161\u11A8", "각")]
    [InlineData("\u212B", "Å")]
    [InlineData("\uFFFE\u0301", "\uFFFE\u0301")]
    public void KnownCompositions(string text, string expected) => Assert.Equal(expected, UnicodeNormalizer.Normalize(text, false, true));

    /// <summary>What patterns name by \s and \d is left to .NET, which must agree with Oniguruma on every character.</summary>
    [Fact]
    public void RuntimeAgreesWithOniguruma()
    {
        CodePointSet space = UnicodeTables.Find(@"onig:\s")!;
        CodePointSet digit = UnicodeTables.Find(@"onig:\d")!;
        for (int point = 0; point <= CodePointSet.Maximum; point++)
        {
            if (point is >= 0xD800 and <= 0xDFFF)
            {
                continue;
            }

            var rune = new Rune(point);
            Assert.Equal(Rune.IsWhiteSpace(rune), space.Contains(point));
            Assert.Equal(Rune.GetUnicodeCategory(rune) == UnicodeCategory.DecimalDigitNumber, digit.Contains(point));
        }
    }

    [Fact]
    public void SetsObeyAlgebra()
    {
        CodePointSet vowels = CodePointSet.Of([('a', 'a'), ('e', 'e'), ('i', 'i')]);
        CodePointSet early = CodePointSet.Range('a', 'f');

        Assert.Equal([('a', 'a'), ('e', 'e')], vowels.Intersect(early).Ranges);
        Assert.Equal(CodePointSet.All.Ranges, early.Union(early.Complement()).Ranges);
        Assert.Empty(early.Intersect(early.Complement()).Ranges);
        Assert.Equal(early.Ranges, early.Complement().Complement().Ranges);
    }
}
