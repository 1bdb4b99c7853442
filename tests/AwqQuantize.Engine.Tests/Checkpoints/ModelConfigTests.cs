using System.Text;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests.Checkpoints;

public sealed class ModelConfigTests
{
    private static ModelConfig Parse(string text) => new(PythonJson.ParseObject(Encoding.UTF8.GetBytes(text), "config.json"));

    [Theory]
    [InlineData("""{"torch_dtype":"bfloat16"}""", "bfloat16")]
    [InlineData("""{"dtype":"float16","torch_dtype":"bfloat16"}""", "float16")]
    [InlineData("""{"torch_dtype":"torch.float32"}""", "float32")]
    [InlineData("""{"torch_dtype":null}""", null)]
    [InlineData("""{}""", null)]
    public void BothFormsOfTheTypeAreRead(string text, string? expected) => Assert.Equal(expected, Parse(text).Dtype);

    [Theory]
    [InlineData("""{}""", null)]
    [InlineData("""{"quantization_config":null}""", null)]
    [InlineData("""{"quantization_config":{"quant_method":"awq"}}""", "awq")]
    [InlineData("""{"quantization_config":{"quant_method":"GPTQ"}}""", "gptq")]
    [InlineData("""{"quantization_config":{"quant_method":"fp8"}}""", "fp8")]
    [InlineData("""{"quantization_config":{"load_in_4bit":true}}""", "bitsandbytes")]
    [InlineData("""{"quantization_config":{}}""", "unknown")]
    [InlineData("""{"compression_config":{"format":"pack-quantized"}}""", "compressed-tensors")]
    [InlineData("""{"text_config":{"quantization_config":{"quant_method":"compressed-tensors"}}}""", "compressed-tensors")]
    public void TheQuantisationMethodIsRecognised(string text, string? expected) => Assert.Equal(expected, Parse(text).QuantizationMethod);

    [Fact]
    public void TyingIsUnknownWhereTheFileIsSilent()
    {
        Assert.Null(Parse("{}").TieWordEmbeddings);
        Assert.True(Parse("""{"tie_word_embeddings":true}""").TieWordEmbeddings);
        Assert.False(Parse("""{"tie_word_embeddings":false}""").TieWordEmbeddings);
    }

    [Fact]
    public void PythonsLiteralsAreReadAndWritten()
    {
        var text = "{\n  \"a\": NaN,\n  \"b\": [\n    Infinity,\n    -Infinity,\n    -1e-05\n  ],\n  \"NaN\": \"say \\\"NaN\\\" or -Infinity\",\n  \"c\": 1E+2\n}\n";
        var node = PythonJson.ParseObject(Encoding.UTF8.GetBytes(text), "x");
        Assert.True(double.IsNaN(node["a"]!.GetValue<double>()));
        Assert.Equal(double.PositiveInfinity, node["b"]![0]!.GetValue<double>());
        Assert.Equal(double.NegativeInfinity, node["b"]![1]!.GetValue<double>());
        Assert.Equal("say \"NaN\" or -Infinity", node["NaN"]!.GetValue<string>());
        Assert.Equal(text, PythonJson.Write(node));
    }

    [Fact]
    public void ConfigsOfTheTinyModelsComeBackWithTheSameValues()
    {
        foreach (var path in Directory.EnumerateFiles(SharedData.Repository("tests/data/tiny"), "config.json", SearchOption.AllDirectories))
        {
            var node = PythonJson.ReadObject(path);
            Assert.True(JsonNode.DeepEquals(JsonNode.Parse(File.ReadAllText(path)), JsonNode.Parse(PythonJson.Write(node))), path);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{\"a\":1,\"a\":2}")]
    [InlineData("{\"a\":NaN")]
    [InlineData("{NaN}")]
    [InlineData("{\"a\":\"\\ud800\"}x")]
    public void WhatIsNotAnObjectIsRefused(string text) => Assert.Equal("JsonInvalid", Assert.Throws<AwqException>(() => Parse(text)).Id);

    [Fact]
    public void DepthIsLimited() =>
        Assert.Equal("JsonInvalid", Assert.Throws<AwqException>(() => Parse("{\"a\":" + new string('[', 100_000) + new string(']', 100_000) + "}")).Id);

    [Fact]
    public void AByteOrderMarkIsSkipped() => Assert.Equal("llama", Parse("\uFEFF{\"model_type\":\"llama\"}").ModelType);

    [Fact]
    public void AFileThatIsMuchTooLargeIsNotRead()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("config.json");
        using (var stream = new FileStream(path, FileMode.CreateNew))
            stream.SetLength(PythonJson.MaxByteLength + 1);
        Assert.Equal("JsonTooLarge", Assert.Throws<AwqException>(() => ModelConfig.Load(path)).Id);
    }
}
