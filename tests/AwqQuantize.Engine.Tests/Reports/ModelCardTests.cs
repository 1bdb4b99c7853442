using AwqQuantize.Engine.Reports;
using AwqQuantize.Engine.Tests.Checkpoints;

namespace AwqQuantize.Engine.Tests.Reports;

public sealed class ModelCardTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public ModelCardTests()
    {
        folder.Write("config.json", """{"model_type":"llama","quantization_config":{"quant_method":"awq","bits":4,"group_size":64,"zero_point":true,"version":"gemm","modules_to_not_convert":["lm_head","mlp.gate"]}}""");
        folder.Write("model.safetensors", SafetensorsBytes.Tensor("a.qweight", "I32", "[2]", new byte[8]));
    }

    public void Dispose() => folder.Dispose();

    private static string[] FrontMatter(string card)
    {
        var lines = card.Split('\n');
        Assert.Equal("---", lines[0]);
        return lines[1..Array.IndexOf(lines, "---", 1)];
    }

    [Fact]
    public void TheCardTellsOriginSettingsQualityAndUse()
    {
        var card = ModelCard.Create(folder.Path, new ModelCardFacts
        {
            BaseModel = "some/model",
            Name = "me/model-AWQ",
            Settings = [KeyValuePair.Create("Calibration", "128 rows | of 2048 tokens")],
            Evaluations = [new ModelCardEvaluation("WikiText-2", 12.3456, 12.6, 0.01234), new ModelCardEvaluation("other", 5, 6, null)],
        });
        var front = FrontMatter(card);
        Assert.Contains("base_model: \"some/model\"", front);
        Assert.Contains("base_model_relation: quantized", front);
        Assert.Contains("pipeline_tag: text-generation", front);
        Assert.Contains("| Group size | 64 |", card, StringComparison.Ordinal);
        Assert.Contains("| Linears that stay float | `lm_head`, `mlp.gate` |", card, StringComparison.Ordinal);
        Assert.Contains(@"| Calibration | 128 rows \| of 2048 tokens |", card, StringComparison.Ordinal);
        Assert.Contains("| WikiText-2 | 12.346 | 12.600 | 0.0123 |", card, StringComparison.Ordinal);
        Assert.Contains("vllm serve me/model-AWQ", card, StringComparison.Ordinal);
        Assert.DoesNotContain('\r', card);
    }

    [Fact]
    public void LicenceAndLanguageAreCarriedOverWithTheOriginalText()
    {
        folder.Write("README.md", "---\r\nlicense: other\r\nlicense_name: my-licence\r\nlanguage:\r\n- en\r\n- de\r\ntags:\r\n- chat\r\nbase_model: older/model\r\nmodel-index:\r\n- name: x\r\n  results: []\r\n---\r\n# Original\r\n\r\ntext\r\n");
        var card = ModelCard.Create(folder.Path, new ModelCardFacts { BaseModel = "some/model" });
        Assert.Equal(["base_model: \"some/model\"", "base_model_relation: quantized", "library_name: transformers", "pipeline_tag: text-generation",
            "license: other", "license_name: my-licence", "language:", "- en", "- de", "tags:", "- awq", "- 4-bit", "- quantized"], FrontMatter(card));
        Assert.EndsWith("# Original\n\ntext\n", card, StringComparison.Ordinal);
        Assert.DoesNotContain("older/model", card, StringComparison.Ordinal);
    }

    [Fact]
    public void ACardWithoutFrontMatterAndWithoutBaseModelIsWrittenToo()
    {
        folder.Write("README.md", "# Plain\n---\nnot a block\n");
        var card = ModelCard.Create(folder.Path, new ModelCardFacts());
        Assert.DoesNotContain(FrontMatter(card), l => l.StartsWith("base_model", StringComparison.Ordinal));
        Assert.EndsWith("# Plain\n---\nnot a block\n", card, StringComparison.Ordinal);
    }

    [Fact]
    public void AFloatModelGetsNoCard()
    {
        folder.Write("config.json", "{}");
        Assert.Equal("ModelCardNotQuantized", Assert.Throws<AwqException>(() => ModelCard.Create(folder.Path, new ModelCardFacts())).Id);
    }
}
