using System.Globalization;
using System.Text.Json;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>
/// Real tokenizer.json files against the original library. <c>AWQ_TOKENIZER_STRINGS</c> sets how many generated strings
/// each is compared on; tests/tokenizers/compare.mjs runs 100,000.
/// </summary>
public sealed class DifferentialTests
{
    private static readonly string? Chosen = Environment.GetEnvironmentVariable("AWQ_TOKENIZER_STRINGS");

    public static int Count { get; } = Chosen is { Length: > 0 } count ? int.Parse(count, CultureInfo.InvariantCulture) : 400;

    public static bool IsFull => Count > 1000;

    public static TheoryData<string> Families =>
        ["gpt2", "llama3", "llama2", "qwen3", "gemma3", "deepseek_v3", "gptoss", "mistral_nemo", "command_r_plus", "internlm2", "chatglm3", "minicpm_v4_5"];

    [Theory]
    [MemberData(nameof(Families))]
    public void SameIdsAsTheOriginal(string family)
    {
        string folder = ReferenceLibrary.FamilyFolder(family);
        TextTokenizer tokenizer = TextTokenizer.Load(folder, asTransformers: false);
        string[] strings = JsonSerializer.Deserialize<string[]>(File.ReadAllBytes(SharedData.Repository("tests/data/tokenizers/strings.json")))!;
        Vectors recorded = JsonSerializer.Deserialize<Vectors>(File.ReadAllBytes(SharedData.Repository($"tests/data/tokenizers/{family}.ids.json")), JsonSerializerOptions.Web)!;
        TokenizerAssert.SameIds(tokenizer, strings, recorded.Plain, addSpecialTokens: false);
        TokenizerAssert.SameIds(tokenizer, strings, recorded.Special, addSpecialTokens: true);

        ReferenceResult expected = ReferenceLibrary.Run(Path.Combine(folder, "tokenizer.json"), seed: 20261, Count);
        Assert.Equal(Count, expected.Plain.Length);
        TokenizerAssert.SameIds(tokenizer, expected.Strings, expected.Plain, addSpecialTokens: false);
        TokenizerAssert.SameIds(tokenizer, expected.Strings, expected.Special, addSpecialTokens: true);
        TokenizerAssert.SameTexts(tokenizer, expected.Plain, expected.Decoded);
    }

    /// <summary>Byte-level tokenizers lose nothing of a well-formed text, unless they normalize it.</summary>
    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama3")]
    [InlineData("deepseek_v3")]
    [InlineData("gptoss")]
    public void DecodingGivesTheTextBack(string family)
    {
        TextTokenizer tokenizer = TextTokenizer.Load(ReferenceLibrary.FamilyFolder(family), asTransformers: false);
        foreach (string text in JsonSerializer.Deserialize<string[]>(File.ReadAllBytes(SharedData.Repository("tests/data/tokenizers/strings.json")))!)
        {
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text, addSpecialTokens: false), skipSpecialTokens: false));
        }
    }

    private sealed record Vectors(int[][] Plain, int[][] Special);
}
