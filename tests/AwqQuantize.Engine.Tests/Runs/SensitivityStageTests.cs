using System.Security.Cryptography;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Reports;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Linears that stay float for their sensitivity, from the option to the finished folder.</summary>
public sealed class SensitivityStageTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void TheMostSensitiveLinearsStayFloatWithinTheBudget()
    {
        var options = Options("out") with { MaxBitsPerWeight = 5 };
        var plan = QuantizationRun.Plan(options, new RecordingObserver(), default);
        Assert.NotNull(plan.Sensitivity);
        var result = QuantizationRun.Execute(options, new RecordingObserver(), default);
        var kept = result.FloatModules.Keys.ToHashSet();
        Assert.NotEmpty(kept);
        Assert.InRange(result.BitsPerWeight, plan.BitsPerWeight + 0.05, 5);
        Assert.Equal(28, result.QuantizedModules + kept.Count);
        Assert.All(result.FloatModules.Values, reason => Assert.Matches(@"KL divergence of 0\.?\d+|KL divergence of \d\.?\d*E-", reason));
        Assert.Equal(kept, result.Sensitivity.Where(s => s.StaysFloat).SelectMany(s => s.Set.Modules.Select(m => $"model.layers.{s.Set.Layer}.{m}")).ToHashSet());

        using var made = ModelFolder.Open(temporary.File("out"));
        Assert.All(kept, m => Assert.Equal(TensorDtype.F16, made.Tensors[m + ".weight"].Dtype));
        Assert.All(kept, m => Assert.DoesNotContain(m + ".qweight", made.Tensors.Keys));
        Assert.Equal(result.QuantizedModules, made.Tensors.Keys.Count(k => k.EndsWith(".qweight", StringComparison.Ordinal)));
        Assert.Equal(result.Size, made.Tensors.Values.Sum(t => t.ByteLength));
        var excluded = Excluded("out");
        Assert.All(kept, m => Assert.Contains(excluded, e => m.Contains(e, StringComparison.Ordinal)));
        Assert.Equal(result.Sensitivity.Count, ReportFile.Read(temporary.File("out")).Sensitivity!.Count);
    }

    [Fact]
    public void ARunThatIsTakenUpKeepsTheDecisionAndGivesTheSameBytes()
    {
        QuantizationRun.Execute(Options("a"), new RecordingObserver(), default);
        foreach (var stop in new[] { 5, 45, 20 }) // while it is measured, and in the layers behind
        {
            using var cancel = new CancellationTokenSource();
            var stages = 0;
            Assert.Throws<OperationCanceledException>(() => QuantizationRun.Execute(Options("b"), new RecordingObserver(), cancel.Token, _ =>
            {
                if (++stages == stop)
                    cancel.Cancel();
            }));
        }
        Assert.True(File.Exists(Path.Combine(temporary.File("b.awq-run"), "sensitivity.json")));
        QuantizationRun.Execute(Options("b"), new RecordingObserver(), default);
        Assert.Equal(Hash("a"), Hash("b"));
        Assert.Equal(File.ReadAllText(Path.Combine(temporary.File("a"), "awq-report.json")), File.ReadAllText(Path.Combine(temporary.File("b"), "awq-report.json")));
    }

    [Fact]
    public void AnotherBudgetIsAnotherRun()
    {
        using var cancel = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => QuantizationRun.Execute(Options("out"), new RecordingObserver(), cancel.Token, _ => cancel.Cancel()));
        var error = Assert.Throws<AwqException>(() => QuantizationRun.Execute(Options("out") with { MaxBitsPerWeight = 4.8 }, new RecordingObserver(), default));
        Assert.Equal("RunOptionsDiffer", error.Id);
        Assert.Contains("MaxBitsPerWeight", error.Message);
    }

    [Fact]
    public void WithoutRoomInTheBudgetEverythingIsQuantisedAndItIsSaid()
    {
        var observer = new RecordingObserver();
        var result = QuantizationRun.Execute(Options("out") with { MaxBitsPerWeight = 4 }, observer, default);
        Assert.Equal(28, result.QuantizedModules);
        Assert.Empty(result.Sensitivity);
        Assert.Contains(observer.Decisions, d => d.Contains("-MaxBitsPerWeight"));
        Assert.Null(ReportFile.Read(temporary.File("out")).Sensitivity);
    }

    /// <summary>vLLM loads the experts of a layer as one module and looks for its name among the exclusions.</summary>
    [Fact]
    public void FloatExpertsAreNamedByTheWhole()
    {
        var options = Options("out") with { ModelPath = Path.Combine(Repository.Root, "tests", "data", "stories-moe"), MaxQuality = false, ExcludeModule = ["*layers.1.mlp.experts*"] };
        QuantizationRun.Execute(options, new RecordingObserver(), default);
        var entry = Assert.Single(Excluded("out"), e => e.Contains("experts", StringComparison.Ordinal));
        Assert.Contains(entry, "model.layers.1.mlp.experts");
        Assert.DoesNotContain(entry, "model.layers.0.mlp.experts");
    }

    private List<string> Excluded(string output) => [.. JsonNode.Parse(File.ReadAllText(Path.Combine(temporary.File(output), "config.json")))!["quantization_config"]!["modules_to_not_convert"]!
        .AsArray().Select(e => (string)e!)];

    private QuantizationOptions Options(string output) => new()
    {
        ModelPath = Path.Combine(Repository.Root, "samples", "stories-llama"), ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File(output),
        MaxQuality = true, GroupSize = 128, SampleCount = 4, SequenceLength = 128, CalibrationData = [Path.Combine(Repository.Root, "module", "Calibration", "narrative.txt")],
        // Tuning comes after all that is asked here; some of it, so that the decision is kept beside it too.
        TuningSteps = 8,
    };

    private string Hash(string output) => string.Join("\n", Directory.GetFiles(temporary.File(output)).Order(StringComparer.Ordinal)
        .Select(f => Path.GetFileName(f) + " " + Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(f)))));
}
