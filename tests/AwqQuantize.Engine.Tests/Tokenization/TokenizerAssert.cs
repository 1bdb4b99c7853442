using System.Text;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>Compares a tokenizer with what the original library gave.</summary>
internal static class TokenizerAssert
{
    /// <summary>All ids equal; null says that the original refuses the string, and so must we.</summary>
    public static void SameIds(TextTokenizer tokenizer, IReadOnlyList<string> strings, IReadOnlyList<int[]?> expected, bool addSpecialTokens, int stride = 1)
    {
        var differences = new StringBuilder();
        int count = 0;
        for (int i = 0; i < expected.Count; i++)
        {
            int[]? actual = Ids(tokenizer, strings[i * stride], addSpecialTokens);
            bool same = actual is null || expected[i] is null ? actual is null && expected[i] is null : actual.AsSpan().SequenceEqual(expected[i]);
            if (!same && ++count <= 5)
            {
                differences.AppendLine($"{Shown(strings[i * stride])}: expected {Shown(expected[i])}, got {Shown(actual)}");
            }
        }

        Assert.True(count == 0, $"{count} of {expected.Count} strings differ.{Environment.NewLine}{differences}");
    }

    /// <summary>The texts of the expected ids equal.</summary>
    public static void SameTexts(TextTokenizer tokenizer, IReadOnlyList<int[]?> ids, IReadOnlyList<string?> expected, int stride = 1)
    {
        for (int i = 0; i < expected.Count; i++)
        {
            if (expected[i] is { } text)
            {
                Assert.Equal(text, tokenizer.Decode(ids[i * stride]!, skipSpecialTokens: false));
            }
        }
    }

    private static int[]? Ids(TextTokenizer tokenizer, string text, bool addSpecialTokens)
    {
        try
        {
            return tokenizer.Encode(text, addSpecialTokens);
        }
        catch (AwqException error) when (error.Id == "TokenizerInvalid")
        {
            return null;
        }
    }

    private static string Shown(int[]? ids) => ids is null ? "an error" : string.Join(' ', ids.Take(60));

    private static string Shown(string text) => string.Concat(text.Take(200).Select(c => c is >= ' ' and < '\u007F' ? c.ToString() : $"\\u{(int)c:X4}"));
}
