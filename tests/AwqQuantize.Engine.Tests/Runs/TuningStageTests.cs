using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Evaluation;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Tuning as a part of a run.</summary>
public sealed class TuningStageTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void ARunIsTunedAndIsTheSameAfterAStop()
    {
        var plain = QuantizationRun.Execute(Options("plain") with { TuningSteps = 0 }, new SilentObserver(), default);
        Assert.Null(plain.Tuning);
        var tuned = QuantizationRun.Execute(Options("tuned"), new SilentObserver(), default);
        Assert.True(tuned.Tuning is { Steps: 30, BestStep: > 0 } && tuned.Tuning.KlAfter < tuned.Tuning.KlBefore, $"{tuned.Tuning}");
        using (var before = ModelFolder.Open(plain.Path))
        using (var after = ModelFolder.Open(tuned.Path))
        {
            Assert.Equal(before.Tensors.Keys.Order(), after.Tensors.Keys.Order());
            Assert.Contains(before.Tensors.Keys, k => k.EndsWith(".scales") && Differ(before, after, k));
            Assert.DoesNotContain(before.Tensors.Keys, k => (k.EndsWith(".qzeros") || k.Contains("embed_tokens")) && Differ(before, after, k));
        }
        using var stop = new CancellationTokenSource();
        var steps = 0;
        Assert.Throws<OperationCanceledException>(() => QuantizationRun.Execute(Options("stopped"), new SilentObserver(), stop.Token, stage =>
        {
            if (stage == "tuning" && ++steps == 28)
                stop.Cancel();
        }));
        Assert.False(Directory.Exists(temporary.File("stopped")));
        var left = 0;
        QuantizationRun.Execute(Options("stopped"), new SilentObserver(), default, stage => left += stage == "tuning" ? 1 : 0);
        Assert.Equal(5, left); // from step 26 on, for the state after step 25 was kept
        Assert.Equal(Files(tuned.Path), Files(temporary.File("stopped")));
        Assert.Empty(Directory.GetDirectories(temporary.Path, "*.awq-run"));
    }

    [Fact]
    public void ThePlanTellsOfIt()
    {
        var without = QuantizationRun.Plan(Options("out") with { TuningSteps = 0 }, new SilentObserver(), default);
        var with = QuantizationRun.Plan(Options("out"), new SilentObserver(), default);
        Assert.Null(without.Tuning);
        Assert.Equal(30, with.Tuning!.Steps);
        Assert.True(with.Tuning.TunesCodes);
        Assert.True(with.DiskBytes > without.DiskBytes && with.Work.Matrix > without.Work.Matrix);
        Assert.False(QuantizationRun.Plan(Options("out") with { MemoryLimit = 1 << 20 }, new SilentObserver(), default).Tuning!.TunesCodes);
    }

    private QuantizationOptions Options(string output) => new()
    {
        ModelPath = QuantizedSample.Source, ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File(output), SampleCount = 16, SequenceLength = 64,
        CalibrationData = [temporary.Write("text.txt", string.Concat(Enumerable.Repeat(QuantizedSample.Story, 12)))], ForceCpu = true, TuningSteps = 30,
    };

    private static unsafe bool Differ(ModelFolder a, ModelFolder b, string name) =>
        !new ReadOnlySpan<byte>(a.Pointer(name), (int)a.Entry(name).ByteLength).SequenceEqual(new ReadOnlySpan<byte>(b.Pointer(name), (int)b.Entry(name).ByteLength));

    private static Dictionary<string, string> Files(string folder) =>
        Directory.GetFiles(folder).ToDictionary(f => Path.GetFileName(f), f => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(f))));
}
