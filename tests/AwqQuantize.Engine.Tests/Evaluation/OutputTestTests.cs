using AwqQuantize.Engine.Evaluation;

namespace AwqQuantize.Engine.Tests.Evaluation;

public sealed class OutputTestTests(QuantizedSample sample) : IClassFixture<QuantizedSample>
{
    public static TheoryData<string> Defects => [.. PlantedDefects.All.Keys];

    private static AwqTestResult Check(string path, Func<OutputTestOptions, OutputTestOptions>? change = null)
    {
        var options = new OutputTestOptions { Path = path, SourcePath = QuantizedSample.Source };
        return OutputTest.Run(change?.Invoke(options) ?? options, Repository.Catalog);
    }

    /// <summary>Into the test's log: the figures that the devlog tells.</summary>
    private static void Log(AwqTestResult result) => TestContext.Current.TestOutputHelper?.WriteLine(string.Create(System.Globalization.CultureInfo.InvariantCulture,
        $"relative error of modules: mean {result.Modules.Average(m => m.RelativeError):F3}, largest {result.LargestRelativeError:F3}, channels up to {result.Modules.Max(m => m.LargestRowError):F3} and {result.Modules.Max(m => m.LargestColumnError):F3}"));

    private static string Text(AwqTestResult result) => string.Join("\n", result.Checks.Where(c => c.Status != CheckStatus.Passed));

    [Fact]
    public void OurOwnOutputPassesEveryCheck()
    {
        var result = Check(sample.Path, o => o with { Texts = [sample.Text], MaximumKl = 0.5, MaximumPerplexityRatio = 1.5, Prompt = "Once upon a time", SampleTokens = 12 });
        Assert.True(result.Passed, Text(result));
        Assert.Equal(OutputTest.CheckNames, result.Checks.Select(c => c.Name));
        Assert.All(result.Checks, c => Assert.True(c.Status == CheckStatus.Passed, c.ToString()));
        Log(result);
        Assert.Equal(28, result.Modules.Count);
        Assert.InRange(result.LargestRelativeError!.Value, 0.05, 0.3);
        Assert.InRange(result.KlDivergence!.Value, 1e-4, 0.5);
        Assert.False(string.IsNullOrWhiteSpace(result.SampleText));
    }

    [Fact]
    public void ManyDefectsArePlanted() => Assert.True(PlantedDefects.All.Count >= 30);

    [Theory]
    [MemberData(nameof(Defects))]
    public void EveryPlantedDefectIsFound(string defect)
    {
        var (check, plant) = PlantedDefects.All[defect];
        using var copy = new Surgery(sample.Path);
        plant(copy);
        var result = Check(copy.Path);
        Assert.True(result.Checks.Any(c => c.Name == check && c.Status is CheckStatus.Warning or CheckStatus.Failed), $"{defect}: {check} did not notice.\n{Text(result)}");
    }

    [Fact]
    public void LimitsThatAreExceededFail()
    {
        var result = Check(sample.Path, o => o with { Texts = [sample.Text], MaximumTokens = 256, MaximumKl = 1e-6, MaximumPerplexityRatio = 0.5 });
        Assert.False(result.Passed);
        Assert.Equal(["MaximumKl", "MaximumPerplexityRatio"], result.Checks.Where(c => c.Status == CheckStatus.Failed).Select(c => c.Subject).Order());
    }

    [Fact]
    public void TensorParallelismThatDoesNotDivideFails()
    {
        var result = Check(sample.Path, o => o with { TensorParallelSizes = [1, 2, 3] });
        Assert.Contains(result.Checks, c => c is { Name: "Vllm", Status: CheckStatus.Failed } && c.Message.Contains("3 devices"));
        // Over two devices an output projection has 64 inputs left, less than a group of 128.
        Assert.Contains(result.Checks, c => c is { Name: "Vllm", Status: CheckStatus.Failed } && c.Message.Contains("2 devices") && c.Subject.EndsWith("o_proj"));
        Assert.DoesNotContain(result.Checks, c => c.Name == "Vllm" && c.Message.StartsWith("On one device"));
    }

    [Fact]
    public void WithoutASourceWhatNeedsItIsNotRun()
    {
        var result = Check(sample.Path, o => o with { SourcePath = null });
        Assert.True(result.Passed);
        Assert.Equal(CheckStatus.NotRun, result.Checks.Single(c => c.Name == "RoundTrip").Status);
        Assert.Empty(result.Modules);
        Assert.Null(result.LargestRelativeError);
    }

    [Fact]
    public void AFloatModelIsNoOutput()
    {
        var result = Check(QuantizedSample.Source);
        Assert.False(result.Passed);
        Assert.Contains(result.Checks, c => c is { Name: "Config", Status: CheckStatus.Failed });
    }

    [Fact]
    public void AMissingFolderIsAnError() =>
        Assert.Equal("ModelFolderMissing", Assert.Throws<AwqException>(() => Check(sample.Path + "-none")).Id);

    [Fact]
    [Trait("Category", "Acceptance")]
    public void AutoAwqsOwnOutputPasses()
    {
        var result = OutputTest.Run(new OutputTestOptions
        {
            Path = SharedData.Require("golden/autoawq_babyllama361_g32"), SourcePath = SharedData.Require("models/babyllama361-hf"),
        }, Repository.Catalog);
        Assert.True(result.Passed, Text(result));
        Log(result);
        Assert.Equal(35, result.Modules.Count);
        Assert.InRange(result.LargestRelativeError!.Value, 0.03, 0.3);
        // The folder holds other data beside the checkpoint. It has no tokenizer, keeps norms in float32, and its sizes are not those of the fast kernel.
        Assert.Equal(["Config", "Shards", "Tensors", "Tokenizer", "Vllm"], result.Checks.Where(c => c.Status == CheckStatus.Warning).Select(c => c.Name).Distinct().Order());
    }
}
