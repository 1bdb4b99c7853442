namespace AwqQuantize.Tests.Commands;

public sealed class ExportAwqReportTests(QuantizedSample sample) : IClassFixture<QuantizedSample>
{
    [Fact]
    public void WritesItIntoTheCheckpointAndReplacesItOnlyWithForce()
    {
        var folder = sample.CopyOutput("replaced");
        using var session = new ModuleSession();
        var file = (FileInfo)Assert.Single(session.Run("Export-AwqReport $path", ("path", folder)).ThrowOnError().Output).BaseObject;
        Assert.Equal(Path.Combine(folder, "awq-report.html"), file.FullName);
        Assert.Equal("ReportExists", session.Run("Export-AwqReport $path", ("path", folder)).ErrorId);
        Assert.Single(session.Run("Export-AwqReport $path -Force", ("path", folder)).ThrowOnError().Output);
    }

    [Fact]
    public void WhatIfWritesNothing()
    {
        var folder = sample.CopyOutput("what-if");
        using var session = new ModuleSession();
        Assert.Empty(session.Run("Export-AwqReport $path -WhatIf", ("path", folder)).ThrowOnError().Output);
        Assert.False(File.Exists(Path.Combine(folder, "awq-report.html")));
    }

    [Fact]
    public void ChecksComeFromThePipeline()
    {
        var folder = sample.CopyOutput("checked");
        using var session = new ModuleSession();
        session.Run("Test-AwqOutput $path -SourcePath $source -Text $text | Export-AwqReport", ("path", folder), ("source", sample.Model), ("text", sample.Text)).ThrowOnError();
        var html = File.ReadAllText(Path.Combine(folder, "awq-report.html"));
        Assert.Contains("<h2>Checks</h2>", html);
        Assert.Contains("RoundTrip", html);
        Assert.Contains("KL to the source", html);
        Assert.DoesNotContain("Slowest layers", html);
    }

    [Fact]
    public void TheResultOfARunAddsTimes()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        var line = "Invoke-AwqQuantization $path -SampleCount 2 -SequenceLength 64 -ForceCpu | Export-AwqReport -OutputPath $root/report.html";
        Assert.Single(session.Run(line, ("path", copy["m"]), ("root", copy.Root)).ThrowOnError().Output);
        Assert.Contains("Slowest layers", File.ReadAllText(Path.Combine(copy.Root, "report.html")));
        Assert.False(File.Exists(Path.Combine(copy["m"], "AWQ-4bit", "awq-report.html")));
    }

    [Fact]
    public void AFolderWithoutDataIsAnError()
    {
        using var session = new ModuleSession();
        Assert.Equal("ReportMissing", session.Run("Export-AwqReport $path", ("path", sample.Model)).ErrorId);
    }
}
