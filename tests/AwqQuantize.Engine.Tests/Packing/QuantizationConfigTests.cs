using System.Text.Json.Nodes;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Tests.Packing;

public sealed class QuantizationConfigTests
{
    private static JsonObject Parse(string text) => JsonNode.Parse(text)!.AsObject();

    [Fact]
    public void TheConfigIsWrittenAsReadersWantIt()
    {
        var source = Parse("""{"architectures":["LlamaForCausalLM"],"dtype":"bfloat16","eps":1e-05,"vocab_size":7}""");
        var before = source.ToJsonString();
        var config = AwqConfigWriter.Create(source, new QuantizationConfig(128, ["lm_head"]));
        Assert.Equal("""{"architectures":["LlamaForCausalLM"],"dtype":"float16","eps":1e-05,"vocab_size":7,"quantization_config":{"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"gemm","modules_to_not_convert":["lm_head"]}}""",
            config.ToJsonString());
        Assert.Equal(before, source.ToJsonString());
    }

    [Theory]
    [InlineData("""{"torch_dtype":"float32"}""", """{"torch_dtype":"float16"}""")]
    [InlineData("""{"torch_dtype":"float32","dtype":null}""", """{"torch_dtype":"float16","dtype":"float16"}""")]
    [InlineData("""{"a":1}""", """{"a":1,"torch_dtype":"float16"}""")]
    [InlineData("""{"dtype":"bfloat16","text_config":{"torch_dtype":"bfloat16","n":1}}""", """{"dtype":"float16","text_config":{"torch_dtype":"float16","n":1}}""")]
    public void TheTypeBecomesFloat16WhereItStands(string source, string expected)
    {
        var config = AwqConfigWriter.Create(Parse(source), new QuantizationConfig(32, []));
        Assert.True(config.Remove("quantization_config"));
        Assert.Equal(expected, config.ToJsonString());
    }

    [Theory]
    [InlineData("""{"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"gemm","modules_to_not_convert":null}""", 128)]
    [InlineData("""{"quant_method":"awq","w_bit":4,"q_group_size":64,"zero_point":true,"version":"GEMM"}""", 64)]
    [InlineData("""{"quant_method":"awq","bits":4,"group_size":-1,"zero_point":true,"version":"gemm"}""", -1)]
    [InlineData("""{"quant_method":"awq","bits":4,"group_size":32,"sym":false,"desc_act":false,"checkpoint_format":"gemm","pack_dtype":"int32","lm_head":false,"meta":{"quantizer":["gptqmodel:4.0.0"]}}""", 32)]
    public void VariantsOfOtherToolsAreRead(string text, int group)
    {
        var config = QuantizationConfig.Read(new JsonObject { ["quantization_config"] = JsonNode.Parse(text) }, "config.json");
        Assert.Equal(group, config.GroupSize);
        Assert.Empty(config.ModulesToNotConvert);
        Assert.Equal(group == -1 ? 4096 : group, config.GroupSizeFor(4096));
    }

    [Theory]
    [InlineData("""{}""", "QuantizationMissing")]
    [InlineData("""{"quantization_config":{"quant_method":"gptq","bits":4,"group_size":128}}""", "QuantizationNotSupported")]
    [InlineData("""{"quantization_config":{"quant_method":"compressed-tensors","format":"pack-quantized"}}""", "QuantizationNotSupported")]
    [InlineData("""{"quantization_config":{"bits":4,"group_size":128}}""", "QuantizationNotSupported")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":3,"group_size":128}}""", "QuantizationNotSupported")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4,"group_size":128,"version":"gemv"}}""", "QuantizationNotSupported")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4,"group_size":128,"checkpoint_format":"marlin"}}""", "QuantizationNotSupported")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4,"group_size":128,"zero_point":false}}""", "QuantizationNotSupported")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4}}""", "QuantizationConfigInvalid")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4,"group_size":0}}""", "QuantizationConfigInvalid")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4,"group_size":"128"}}""", "QuantizationConfigInvalid")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4,"group_size":128,"modules_to_not_convert":"lm_head"}}""", "QuantizationConfigInvalid")]
    [InlineData("""{"quantization_config":{"quant_method":"awq","bits":4,"group_size":128,"modules_to_not_convert":[""]}}""", "QuantizationConfigInvalid")]
    public void OtherFormatsAreRefusedByName(string text, string id) =>
        Assert.Equal(id, Assert.Throws<AwqException>(() => QuantizationConfig.Read(Parse(text), "config.json")).Id);

    [Fact]
    public void WhatIsWrittenIsReadBack()
    {
        var config = new QuantizationConfig(64, ["lm_head", "mlp.gate"]);
        var read = QuantizationConfig.Read(AwqConfigWriter.Create([], config), "config.json");
        Assert.Equal(config.GroupSize, read.GroupSize);
        Assert.Equal(config.ModulesToNotConvert, read.ModulesToNotConvert);
        Assert.True(read.IsExcluded("model.layers.3.mlp.gate"));
        Assert.False(read.IsExcluded("model.layers.3.mlp.experts.0.gate_proj"));
    }

    [Fact]
    public void ExclusionsMatchWhatStaysFloatAndNothingElse()
    {
        string[] quantized =
        [
            "model.layers.0.mlp.gate_proj", "model.layers.0.self_attn.o_proj", "model.layers.1.mlp.experts.0.gate_proj",
            "model.layers.10.self_attn.q_proj", "model.layers.1.self_attn.o_proj", "model.layers.2.self_attn.o_proj", "model.layers.11.mlp.down_proj",
        ];
        string[] plain = ["lm_head", "model.layers.1.mlp.gate", "model.layers.2.mlp.gate", "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"];
        var entries = ModuleExclusions.Create(plain, quantized);
        var config = new QuantizationConfig(128, entries);
        Assert.All(plain, m => Assert.True(config.IsExcluded(m), m));
        Assert.All(quantized, m => Assert.False(config.IsExcluded(m), m));
        // Layer 0 is dense and has a gate_proj directly below mlp, so the routers need their layer.
        Assert.Equal(["lm_head", "layers.1.mlp.gate", "layers.2.mlp.gate", "layers.0.self_attn.q_proj", "layers.1.mlp.down_proj"], entries);
    }

    [Fact]
    public void OneEntryStandsForTheSameLinearOfAllLayers()
    {
        var plain = Enumerable.Range(0, 40).Select(i => $"model.layers.{i}.mlp.gate");
        var quantized = Enumerable.Range(0, 40).Select(i => $"model.layers.{i}.mlp.experts.7.gate_proj").ToList();
        Assert.Equal(["lm_head", "mlp.gate"], ModuleExclusions.Create(["lm_head", .. plain], quantized));
    }

    [Fact]
    public void ANameThatIsPartOfAnotherIsAnError() =>
        Assert.Equal("ModuleNameAmbiguous", Assert.Throws<AwqException>(() => ModuleExclusions.Create(["mlp.gate"], ["mlp.gate_proj"])).Id);
}
