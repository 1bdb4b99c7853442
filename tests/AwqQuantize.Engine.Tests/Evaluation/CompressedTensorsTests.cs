using System.Text.Json.Nodes;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Packing;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>What llm-compressor exports.</summary>
public sealed class CompressedTensorsTests(QuantizedSample sample) : IClassFixture<QuantizedSample>
{
    private const int Group = 128;

    private static string Text(AwqTestResult result) => string.Join("\n", result.Checks.Where(c => c.Status is CheckStatus.Failed or CheckStatus.Warning));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void HoldsTheVeryWeightsOfTheOtherFormat(bool packedZeros)
    {
        using var copy = new Surgery(sample.Path);
        CompressedExport.Rewrite(copy, Group, packedZeros);
        using var expected = ModelSource.Open(sample.Path, Repository.Catalog);
        using var actual = ModelSource.Open(copy.Path, Repository.Catalog);
        Assert.Equal(expected.QuantizedModules.Order(), actual.QuantizedModules.Order());
        Assert.True(actual.IsQuantized);
        foreach (var module in expected.QuantizedModules)
        {
            using var scope = NewDisposeScope();
            Assert.Equal(expected.Tensors.Read(module + ".weight", CPU).data<float>().ToArray(), actual.Tensors.Read(module + ".weight", CPU).data<float>().ToArray());
        }
    }

    /// <summary>Without zero points codes are signed; groups that an index names are as good as their columns sorted.</summary>
    [Fact]
    public void SymmetricWeightsAndIndexedGroups()
    {
        using var copy = new Surgery(sample.Path);
        CompressedExport.Rewrite(copy, Group);
        const string module = "model.layers.0.mlp.down_proj";
        float[] plain;
        using (var asymmetric = ModelSource.Open(copy.Path, Repository.Catalog))
            plain = asymmetric.Tensors.Read(module + ".weight", CPU).data<float>().ToArray();
        Surgery.Part packed = null!, scale = null!;
        copy.Tensors(t =>
        {
            (packed, scale) = (t[module + ".weight_packed"], t[module + ".weight_scale"]);
            t.Remove(module + ".weight_zero_point");
            // Columns of group 2 first, then 0 and 1: whoever ignores the index takes wrong scales.
            t[module + ".weight_g_idx"] = new Surgery.Part("I32", [384], [.. Enumerable.Range(0, 384).SelectMany(i => BitConverter.GetBytes((i / Group + 2) % 3))]);
        });
        using var model = ModelSource.Open(copy.Path, Repository.Catalog);
        var read = model.Tensors.Read(module + ".weight", CPU).data<float>().ToArray();
        for (var o = 0; o < 128; o++)
        {
            for (var i = 0; i < 384; i++)
            {
                var code = (packed.Data[(o * 384 + i) / 2] >> (i % 2 * 4) & 15) - 8;
                var factor = (float)BitConverter.ToHalf(scale.Data, 2 * (o * 3 + (i / Group + 2) % 3));
                Assert.Equal(code * factor, read[o * 384 + i]);
            }
        }
        Assert.NotEqual(plain, read);
    }

    [Fact]
    public void IsMeasuredAndTestedAsTheSameModel()
    {
        using var copy = new Surgery(sample.Path);
        CompressedExport.Rewrite(copy, Group);
        OutputTestOptions options = new() { Path = sample.Path, SourcePath = QuantizedSample.Source, Texts = [sample.Text], MaximumTokens = 128, Prompt = "Once upon a time", SampleTokens = 4 };
        var awq = OutputTest.Run(options, Repository.Catalog);
        var packed = OutputTest.Run(options with { Path = copy.Path }, Repository.Catalog);
        Assert.True(packed.Passed, Text(packed));
        Assert.All(packed.Checks, c => Assert.True(c.Status == CheckStatus.Passed, c.ToString()));
        Assert.Equal(awq.Perplexity, packed.Perplexity);
        Assert.Equal(awq.KlDivergence, packed.KlDivergence);
        Assert.Equal(awq.Modules, packed.Modules);
    }

    [Theory]
    [InlineData("scale missing", "Tensors")]
    [InlineData("scale zero", "Scales")]
    [InlineData("scale nan", "Scales")]
    [InlineData("shape lies", "Tensors")]
    [InlineData("zero points of another shape", "Tensors")]
    [InlineData("codes all the same", "Codes")]
    [InlineData("codes of another layer", "RoundTrip")]
    [InlineData("ignored and quantised", "Exclusions")]
    [InlineData("float and not ignored", "Exclusions")]
    [InlineData("float weight beside", "Tensors")]
    public void PlantedDefectsAreFound(string defect, string check)
    {
        using var copy = new Surgery(sample.Path);
        CompressedExport.Rewrite(copy, Group);
        const string module = "model.layers.1.self_attn.q_proj";
        switch (defect)
        {
            case "scale missing":
                copy.Tensors(t => t.Remove(module + ".weight_scale"));
                break;
            case "scale zero":
                copy.Halves(module + ".weight_scale", (i, s) => i == 3 ? (Half)0 : s);
                break;
            case "scale nan":
                copy.Halves(module + ".weight_scale", (i, s) => i == 3 ? Half.NaN : s);
                break;
            case "shape lies":
                copy.Bytes(module + ".weight_shape", b => b[8] = 64);
                break;
            case "zero points of another shape":
                copy.Tensors(t => t[module + ".weight_zero_point"] = t[module + ".weight_zero_point"] with { Shape = [1, 16] });
                break;
            case "codes all the same":
                copy.Words(module + ".weight_packed", (_, _) => 0x99999999);
                break;
            case "codes of another layer":
                copy.Tensors(t => t[module + ".weight_packed"] = t["model.layers.2.self_attn.q_proj.weight_packed"]);
                break;
            case "ignored and quantised":
                copy.Quantization(q => q["ignore"] = new JsonArray("lm_head", "re:.*q_proj"));
                break;
            case "float and not ignored":
                var weights = Surgery.Read(Path.Combine(QuantizedSample.Source, "model.safetensors"))[module + ".weight"];
                copy.Tensors(t =>
                {
                    foreach (var part in (string[])["weight_packed", "weight_scale", "weight_zero_point", "weight_shape"])
                        t.Remove($"{module}.{part}");
                    t[module + ".weight"] = weights;
                });
                break;
            case "float weight beside":
                copy.Tensors(t => t[module + ".weight"] = new Surgery.Part("F16", [128, 128], new byte[2 * 128 * 128]));
                break;
        }
        var result = OutputTest.Run(new OutputTestOptions { Path = copy.Path, SourcePath = QuantizedSample.Source }, Repository.Catalog);
        Assert.True(result.Checks.Any(c => c.Name == check && c.Status == CheckStatus.Failed), $"{check} did not notice.\n{Text(result)}");
    }

    [Theory]
    [InlineData("""{"format": "marlin-24"}""", "marlin-24")]
    [InlineData("""{"format": "float-quantized"}""", "float-quantized")]
    [InlineData("""{"kv_cache_scheme": {"num_bits": 8}}""", "key-value cache")]
    [InlineData("""{"sparsity_config": {"format": "sparse-24-bitmask"}}""", "sparse-24-bitmask")]
    [InlineData("""{"config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int", "strategy": "group"}}}}""", "8 bits")]
    [InlineData("""{"config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float", "strategy": "group"}}}}""", "type 'float'")]
    [InlineData("""{"config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "strategy": "block"}}}}""", "strategy 'block'")]
    [InlineData("""{"config_groups": {"group_0": {"input_activations": {"num_bits": 8}, "weights": {"num_bits": 4, "type": "int", "strategy": "group"}}}}""", "input_activations")]
    public void WhatIsNotReadIsRefusedByName(string change, string named)
    {
        var config = CompressedExport.Config(Group);
        foreach (var (key, value) in JsonNode.Parse(change)!.AsObject())
            config[key] = value!.DeepClone();
        var error = Assert.Throws<AwqException>(() => CompressedTensorsConfig.Read(new JsonObject { ["quantization_config"] = config }, "config.json"));
        Assert.Equal("QuantizationNotSupported", error.Id);
        Assert.Contains(named, error.Message);
    }

    [Theory]
    [InlineData("""{"config_groups": {}}""")]
    [InlineData("""{"config_groups": {"group_0": 3}}""")]
    [InlineData("""{"ignore": 5}""")]
    [InlineData("""{"ignore": ["re:["]}""")]
    public void MalformedConfigsAreRefused(string change)
    {
        var config = CompressedExport.Config(Group);
        foreach (var (key, value) in JsonNode.Parse(change)!.AsObject())
            config[key] = value!.DeepClone();
        Assert.Equal("QuantizationConfigInvalid", Assert.Throws<AwqException>(() => CompressedTensorsConfig.Read(new JsonObject { ["quantization_config"] = config }, "config.json")).Id);
    }
}
