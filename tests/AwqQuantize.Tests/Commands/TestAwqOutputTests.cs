using System.Management.Automation;

namespace AwqQuantize.Tests.Commands;

public sealed class TestAwqOutputTests(QuantizedSample sample) : IClassFixture<QuantizedSample>
{
    private static object? Value(PSObject o, string name) => o.Properties[name].Value;

    [Fact]
    public void FollowsAQuantizationInOneLine()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        var run = session.Run("Invoke-AwqQuantization $path -SampleCount 2 -SequenceLength 64 -ForceCpu | Test-AwqOutput -NoMeasurement", ("path", copy["m"])).ThrowOnError();
        var result = Assert.Single(run.Output);
        Assert.Equal(true, Value(result, "Passed"));
        Assert.Equal(Path.Combine(copy["m"], "AWQ-4bit"), Value(result, "Path"));
        Assert.Equal(copy["m"], Value(result, "SourcePath"));
        Assert.Null(Value(result, "Perplexity"));
    }

    [Fact]
    public void FindsTheSourceAboveAndMeasuresOnTheModulesText()
    {
        using var session = new ModuleSession();
        var result = Assert.Single(session.Run("Test-AwqOutput $path", ("path", sample.Output)).ThrowOnError().Output);
        Assert.Equal(sample.Model, Value(result, "SourcePath"));
        Assert.Equal(true, Value(result, "Passed"));
        Assert.InRange((double)Value(result, "KlDivergence")!, 1e-4, 1);
        Assert.Equal(3, session.Run("(Test-AwqOutput $path).Measurement.Texts.Count", ("path", sample.Output)).ThrowOnError().Output[0].BaseObject);
    }

    [Fact]
    public void QuietGivesABool()
    {
        var damaged = sample.CopyOutput("damaged");
        File.WriteAllText(Path.Combine(damaged, "tokenizer.json"), "{}");
        using var session = new ModuleSession();
        var line = "Test-AwqOutput $paths -SourcePath $source -NoMeasurement -Quiet";
        var run = session.Run(line, ("paths", new[] { sample.Output, damaged }), ("source", sample.Model)).ThrowOnError();
        Assert.Equal([true, false], run.Output.Select(o => (bool)o.BaseObject));
    }

    [Fact]
    public void LimitsFailAndAreSaidVerbosely()
    {
        using var session = new ModuleSession();
        var run = session.Run("Test-AwqOutput $path -Text $text -MaximumKl 1e-9 -Verbose", ("path", sample.Output), ("text", sample.Text)).ThrowOnError();
        Assert.Equal(false, Value(run.Output[0], "Passed"));
        Assert.Contains(run.Verbose, v => v.StartsWith("Failed: Perplexity MaximumKl", StringComparison.Ordinal));
    }

    [Fact]
    public void GivesASample()
    {
        using var session = new ModuleSession();
        var text = session.Run("(Test-AwqOutput $path -NoMeasurement -Prompt 'Once upon a time').SampleText", ("path", sample.Output)).ThrowOnError().Output[0].ToString()!;
        Assert.Contains(' ', text.Trim());
    }

    [Fact]
    public void ErrorsNameWhatWasGivenAndOthersGoOn()
    {
        using var session = new ModuleSession();
        var run = session.Run("Test-AwqOutput nowhere, $path -NoMeasurement", ("path", sample.Output));
        Assert.Equal("ModelFolderMissing", run.ErrorId);
        Assert.Equal("nowhere", run.Errors[0].TargetObject);
        Assert.Equal(ErrorCategory.ObjectNotFound, run.Errors[0].CategoryInfo.Category);
        Assert.Single(run.Output);
        Assert.Equal("OptionsContradict", session.Run("Test-AwqOutput $path -NoMeasurement -MaximumKl 1", ("path", sample.Output)).ErrorId);
        Assert.Equal("ModelFolderMissing", session.Run("Test-AwqOutput $path -SourcePath nowhere", ("path", sample.Output)).ErrorId);
    }

    [Fact]
    public void ViewsShowFindingsAndFigures()
    {
        using var session = new ModuleSession();
        // The hosting package has no Format-List, so what the views compute is computed here.
        var scripts = System.Xml.Linq.XDocument.Load(Path.Combine(StagedModule.Root, "AwqQuantize.Format.ps1xml")).Descendants("View")
            .Where(v => v.Descendants("TypeName").Single().Value.EndsWith(".AwqTestResult", StringComparison.Ordinal))
            .SelectMany(v => v.Descendants("ScriptBlock")).Select(e => e.Value).ToArray();
        const string show = " | ForEach-Object { $result = $_; $scripts | ForEach-Object { $script = $_; $result | ForEach-Object ([scriptblock]::Create($script)) } }";
        var failed = session.Run("Test-AwqOutput $path -Text $text -MaximumKl 1e-9" + show, ("path", sample.Output), ("text", sample.Text), ("scripts", scripts)).ThrowOnError();
        Assert.Contains(failed.Output, o => o?.ToString()!.Contains("Failed: Perplexity (MaximumKl)") == true);
        var passed = session.Run("Test-AwqOutput $path -NoMeasurement" + show, ("path", sample.Output), ("scripts", scripts)).ThrowOnError();
        Assert.Contains(passed.Output, o => o?.ToString() == "yes");
    }
}
