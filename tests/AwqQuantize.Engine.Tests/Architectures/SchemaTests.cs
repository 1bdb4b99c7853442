using System.Text.Json;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using NJsonSchema;

namespace AwqQuantize.Engine.Tests.Architectures;

/// <summary>The published JSON schema says what the reader accepts.</summary>
public sealed class SchemaTests
{
    private static readonly string Published = Path.Combine(Repository.Architectures, DescriptionSchema.File);

    /// <summary>Set AWQ_UPDATE_SCHEMA=1 to write the file anew after the grammar changed.</summary>
    [Fact]
    public void ThePublishedSchemaIsMadeFromTheGrammar()
    {
        var expected = DescriptionSchema.Make().ToJsonString(new JsonSerializerOptions { WriteIndented = true, NewLine = "\n" }) + "\n";
        if (Environment.GetEnvironmentVariable("AWQ_UPDATE_SCHEMA") == "1")
            File.WriteAllText(Published, expected);
        Assert.Equal(expected, File.ReadAllText(Published));
    }

    public static TheoryData<string> Descriptions => [.. Directory.GetFiles(Repository.Architectures, "*.json").Select(f => Path.GetFileNameWithoutExtension(f)!)
        .Where(n => n != "architecture.schema").Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Descriptions))]
    public async Task EveryDescriptionIsValidBySchema(string name)
    {
        var schema = await JsonSchema.FromFileAsync(Published, TestContext.Current.CancellationToken);
        Assert.Empty(schema.Validate(File.ReadAllText(Path.Combine(Repository.Architectures, name + ".json"))));
    }

    /// <summary>Each change makes a valid description wrong; schema and reader must both refuse it.</summary>
    [Theory]
    [InlineData("""{ "let": 5 }""")]
    [InlineData("""{ "norms": {} }""")]
    [InlineData("""{ "model_type": { "a": 1 } }""")]
    [InlineData("""{ "embedding": { "tokens": 3 } }""")]
    [InlineData("""{ "norm": { "kind": "batch" } }""")]
    [InlineData("""{ "norm": { "epsilon": true } }""")]
    [InlineData("""{ "layer": { "parallel": 1 } }""")]
    [InlineData("""{ "layer": { "blocks": { "attention": { "rotary": "half" } } } }""")]
    [InlineData("""{ "layer": { "blocks": { "attention": { "rotary": { "pairs": "quarter" } } } } }""")]
    [InlineData("""{ "layer": { "blocks": { "attention": { "windows": 4 } } } }""")]
    [InlineData("""{ "layer": { "blocks": { "mlp": { "kind": "dense" } } } }""")]
    [InlineData("""{ "layer": { "blocks": { "mlp": { "kind": "mlp", "heads": 4 } } } }""")]
    [InlineData("""{ "head": { "name": 4 } }""")]
    public async Task SchemaAndReaderRefuseTheSame(string change)
    {
        var schema = await JsonSchema.FromFileAsync(Published, TestContext.Current.CancellationToken);
        var json = JsonNode.Parse(change)!.AsObject();
        json["extends"] = "llama";
        Assert.NotEmpty(schema.Validate(json.ToJsonString()));
        var folder = Directory.CreateTempSubdirectory("awq-schema-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "changed.json"), json.ToJsonString());
            Assert.Equal("ArchitectureInvalid", Assert.Throws<AwqException>(() => ArchitectureCatalog.Load(Repository.Architectures, folder)).Id);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void EverySummaryHasBlocksAndGroups()
    {
        var summaries = Repository.Catalog.Summaries;
        Assert.All(summaries, s => Assert.True(s.Blocks.Count > 0 && s.ScaleGroups.Count > 0, s.Name));
        var llama = summaries.Single(s => s.Name == "llama");
        Assert.Equal(
            ["input_layernorm -> self_attn.q_proj, self_attn.k_proj, self_attn.v_proj", "self_attn.v_proj -> self_attn.o_proj",
                "post_attention_layernorm -> mlp.gate_proj, mlp.up_proj", "mlp.up_proj -> mlp.down_proj"], llama.ScaleGroups);
        Assert.Contains("shared expert", summaries.Single(s => s.Name == "deepseek_v3").Features);
        Assert.Contains("parallel blocks", summaries.Single(s => s.Name == "cohere").Features);
    }
}
