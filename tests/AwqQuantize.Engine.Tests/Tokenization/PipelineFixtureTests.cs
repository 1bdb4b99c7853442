using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>
/// Every kind of pipeline around small trained models, against ids that the original library gave
/// (tests/tokenizers/make-fixtures.mjs).
/// </summary>
public sealed class PipelineFixtureTests
{
    private static readonly Lazy<Recorded> Fixtures = new(() =>
        JsonSerializer.Deserialize<Recorded>(File.ReadAllBytes(SharedData.Repository("tests/data/tokenizers/fixtures/pipelines.json")), JsonSerializerOptions.Web)!);

    private static readonly Lazy<JsonObject> Models = new(() =>
        JsonNode.Parse(File.ReadAllBytes(SharedData.Repository("tests/data/tokenizers/fixtures/models.json")))!.AsObject());

    public static TheoryData<string> Names => [.. Fixtures.Value.Pipelines.Select(pipeline => pipeline.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void SameIdsAsTheOriginal(string name)
    {
        Pipeline pipeline = Fixtures.Value.Pipelines.Single(candidate => candidate.Name == name);
        var tokenizer = new TextTokenizer(TokenizerJsonReader.Read(Encoding.UTF8.GetBytes(Json(pipeline))));

        TokenizerAssert.SameIds(tokenizer, Fixtures.Value.Strings, pipeline.Ids, addSpecialTokens: false);
        TokenizerAssert.SameIds(tokenizer, Fixtures.Value.Strings, pipeline.Special, addSpecialTokens: true, stride: 8);
        TokenizerAssert.SameTexts(tokenizer, pipeline.Ids, pipeline.Decoded, stride: 8);
    }

    /// <summary>More strings than were recorded, where the original can be run.</summary>
    [Fact]
    public void SameIdsAsTheOriginalOnGeneratedStrings()
    {
        ReferenceLibrary.Require();
        int count = DifferentialTests.Count / 10;
        using var folder = new TemporaryFolder();
        foreach (Pipeline pipeline in Fixtures.Value.Pipelines.Where((_, index) => DifferentialTests.IsFull || index % 12 == 0))
        {
            string file = Path.Combine(folder.Path, "tokenizer.json");
            File.WriteAllText(file, Json(pipeline));
            ReferenceResult expected = ReferenceLibrary.Run(file, seed: 3, count);
            TextTokenizer tokenizer = TextTokenizer.Load(folder.Path, asTransformers: false);

            TokenizerAssert.SameIds(tokenizer, expected.Strings, expected.Plain, addSpecialTokens: false);
        }
    }

    private static string Json(Pipeline pipeline)
    {
        var json = new JsonObject { ["version"] = "1.0", ["added_tokens"] = new JsonArray() };
        foreach ((string part, JsonNode? value) in pipeline.Parts)
        {
            json[part] = value?.DeepClone();
        }

        JsonNode model = Models.Value[pipeline.Model]!.DeepClone();
        foreach ((string option, JsonNode? value) in pipeline.Options)
        {
            model[option] = value?.DeepClone();
        }

        json["model"] = model;
        return json.ToJsonString();
    }

    private sealed record Recorded(string[] Strings, Pipeline[] Pipelines);

    private sealed record Pipeline(string Name, string Model, JsonObject Options, JsonObject Parts, int[]?[] Ids, int[]?[] Special, string?[] Decoded);
}
