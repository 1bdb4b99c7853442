using System.Text.Json;

namespace AwqQuantize.Tests.Commands;

/// <summary>Every reference model goes through the cmdlets: quantised from token ids, checked against its source.</summary>
public sealed class ReferenceModelTests : IDisposable
{
    private readonly DirectoryInfo place = Directory.CreateTempSubdirectory("awq-reference-");

    private static string Models => Environment.GetEnvironmentVariable("AWQ_TINY_MODELS") is { Length: > 0 } chosen ? chosen
        : Path.Combine(StagedModule.Repository, "tests", "data", "tiny");

    public static TheoryData<string> Names =>
        [.. Directory.GetDirectories(Models).Where(d => File.Exists(Path.Combine(d, "config.json"))).Select(d => Path.GetFileName(d)).Order(StringComparer.Ordinal)];

    public void Dispose() => place.Delete(recursive: true);

    [Theory]
    [MemberData(nameof(Names))]
    public void IsQuantisedInGroupsOf32And128AndPassesTheTest(string name)
    {
        var model = Path.Combine(Models, name);
        var ids = Path.Combine(place.FullName, "ids.jsonl");
        File.WriteAllLines(ids, Rows(model));
        using var session = new ModuleSession();
        foreach (var group in (int[])[32, 128])
        {
            var output = Path.Combine(place.FullName, $"g{group}");
            var run = session.Run("Invoke-AwqQuantization -LiteralPath $model -OutputPath $output -GroupSize $group -CalibrationData $ids -SampleCount 16 -SequenceLength 64 -ForceCpu",
                ("model", model), ("output", output), ("group", group), ("ids", ids)).ThrowOnError();
            Assert.Equal(output, Assert.Single(run.Output).Properties["Path"].Value);
            var test = Assert.Single(session.Run("Test-AwqOutput -LiteralPath $output -SourcePath $model -NoMeasurement", ("model", model), ("output", output)).ThrowOnError().Output);
            var checks = string.Join("\n", ((IEnumerable<object>)test.Properties["Checks"].Value).Select(c => c.ToString()));
            Assert.True(test.Properties["Passed"].Value is true, checks);
            Assert.Contains("RoundTrip", checks);
        }
    }

    /// <summary>Random token ids, as JSON lines.</summary>
    private static IEnumerable<string> Rows(string model)
    {
        using var config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(model, "config.json")));
        var vocabulary = (config.RootElement.TryGetProperty("text_config", out var text) ? text : config.RootElement).GetProperty("vocab_size").GetInt32();
        var random = new Random(7);
        return Enumerable.Range(0, 16).Select(_ => JsonSerializer.Serialize(new { input_ids = Enumerable.Range(0, 64).Select(_ => random.Next(vocabulary)) })).ToList();
    }
}
