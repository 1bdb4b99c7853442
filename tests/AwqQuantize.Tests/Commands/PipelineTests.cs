using System.Management.Automation;
using AwqQuantize.Engine.Tests.Publishing;

namespace AwqQuantize.Tests.Commands;

/// <summary>What one cmdlet gives, the next one takes.</summary>
public sealed class PipelineTests
{
    private const string Story = "Once upon a time, there was a little girl named Lily. She loved to play with her dog in the park. One day, she saw a big red ball. ";

    private static object? Value(PSObject o, string name) => o.Properties[name].Value;

    [Fact]
    public void FromFindingToPublishingInOneLine()
    {
        using var copy = new ModelCopy("good", "bad", "fine");
        File.WriteAllText(Path.Combine(copy["bad"], "config.json"), """{"model_type": "perceiver_of_things"}""");
        using var hub = new StubHub();
        using var session = new ModuleSession();
        const string line = """
            $token = [securestring]::new(); foreach ($c in $secret.ToCharArray()) { $token.AppendChar($c) }
            Get-AwqModel $root | Where-Object IsSupported |
                Invoke-AwqQuantization -NoCalibration -Resume -OutputPath { "$root/out/$($_.Name)" } |
                Test-AwqOutput -NoMeasurement -OutVariable tested | Where-Object Passed |
                Publish-AwqModel -Repository { "me/$(($_.Path -split '/')[-1])-awq" } -Token $token -Endpoint $hub
            $tested
            """;
        (string, object?)[] given = [("root", copy.Root), ("secret", StubHub.Token), ("hub", hub.Address)];
        var run = session.Run(line, given).ThrowOnError();
        Assert.Equal(["me/fine-awq", "me/good-awq"], run.Output.Take(2).Select(o => (string)Value(o, "Target")!));
        foreach (var name in (string[])["fine", "good"])
        {
            var published = hub.Files($"me/{name}-awq");
            foreach (var file in (string[])["model.safetensors", "config.json", "tokenizer.json"])
                Assert.Equal(File.ReadAllBytes(Path.Combine(copy[$"out/{name}"], file)), published[file].Content);
        }
        Assert.Equal([copy["out/fine"], copy["out/good"]], run.Output.Skip(2).Select(o => (string)Value(o, "Path")!));
        Assert.Equal([copy["fine"], copy["good"]], run.Output.Skip(2).Select(o => (string)Value(o, "SourcePath")!));
        Assert.All(run.Output.Skip(2), o => Assert.True((double)Value(o, "LargestRelativeError")! is > 0 and < 0.5));
        // Once more: nothing is made or sent again.
        var again = session.Run(line, given).ThrowOnError();
        Assert.All(again.Output.Take(2), o => Assert.Equal(0L, Value(o, "BytesSent")));
        Assert.Empty(hub.Complaints);
    }

    [Fact]
    public void AQuietTestIsABool()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        var good = session.Run("Invoke-AwqQuantization $path -NoCalibration | Test-AwqOutput -NoMeasurement -Quiet", ("path", copy["m"])).ThrowOnError();
        Assert.Equal(true, Assert.Single(good.Output).BaseObject);
        File.Delete(Path.Combine(copy["m"], "AWQ-4bit", "tokenizer.json"));
        File.WriteAllText(Path.Combine(copy["m"], "AWQ-4bit", "config.json"), File.ReadAllText(Path.Combine(copy["m"], "config.json")));
        var bad = session.Run("Test-AwqOutput $path -NoMeasurement -Quiet", ("path", Path.Combine(copy["m"], "AWQ-4bit"))).ThrowOnError();
        Assert.Equal(false, Assert.Single(bad.Output).BaseObject);
    }

    [Fact]
    public void MeasuresAResultAgainstItsSourceAndReportsIt()
    {
        using var copy = new ModelCopy("m");
        File.WriteAllText(copy["story.txt"], string.Concat(Enumerable.Repeat(Story, 12)));
        using var session = new ModuleSession();
        var run = session.Run("""
            $result = Invoke-AwqQuantization $path -NoCalibration
            $measured = $result | Measure-AwqModel -Text $text -ContextLength 64 -MaximumToken 256 -Device cpu
            $measured
            if ($measured.KlDivergence -ne $measured.Overall.KlDivergence -or $measured.Perplexity -ne $measured.Overall.Perplexity) { throw 'the members say something else' }
            if ($result.CompressionRatio -ne $result.SourceSize / $result.Size) { throw 'the members say something else' }
            $result | Export-AwqReport -Measurement $measured
            """, ("path", copy["m"]), ("text", copy["story.txt"])).ThrowOnError();
        Assert.Equal(2, run.Output.Count);
        Assert.Equal(copy["m"], Value(run.Output[0], "ReferencePath"));
        var overall = PSObject.AsPSObject(Value(run.Output[0], "Overall")!);
        // A story of the kind that the sample was trained on: far better than guessing among 1024, and little changed by 4 bits.
        Assert.InRange((double)Value(overall, "Perplexity")!, 1, 40);
        Assert.InRange((double)Value(overall, "KlDivergence")!, 1e-5, 0.5);
        var report = Assert.IsType<FileInfo>(run.Output[1].BaseObject);
        Assert.StartsWith("<!DOCTYPE html>", File.ReadAllText(report.FullName), StringComparison.OrdinalIgnoreCase);
        Assert.Equal("ReportExists", session.Run("Export-AwqReport $folder", ("folder", report.DirectoryName)).ErrorId);
    }
}
