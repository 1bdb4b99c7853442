using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;
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

    /// <summary>Nobody asked for it, so it is short, leaves the codes alone, and is not what a run fails for.</summary>
    [Fact]
    public void WithManyTokensARunEndsWithAShortTuning()
    {
        var text = temporary.Write("much.txt", string.Concat(Directory.GetFiles(Path.Combine(Repository.Root, "module", "Calibration"), "*.txt").Order().Select(File.ReadAllText)));
        QuantizationOptions Many(string output) => Options(output) with { TuningSteps = null, SampleCount = 512, SequenceLength = 128, CalibrationData = [text] };
        Assert.True(QuantizationRun.Plan(Many("short"), new SilentObserver(), default).Tuning is { Steps: 8, TunesCodes: false });
        Assert.Null(QuantizationRun.Plan(Many("short") with { SampleCount = 511 }, new SilentObserver(), default).Tuning);
        var tuned = QuantizationRun.Execute(Many("short"), new SilentObserver(), default);
        Assert.True(tuned.Tuning is { Steps: 8, BestStep: 8 } && tuned.Tuning.KlAfter < tuned.Tuning.KlBefore, $"{tuned.Tuning}");
        var plain = QuantizationRun.Execute(Many("plain") with { TuningSteps = 0 }, new SilentObserver(), default);
        var full = QuantizationRun.Execute(Many("full"), new SilentObserver(), default, stage =>
        {
            if (stage == "tuning")
                throw new OutOfMemoryException();
        });
        Assert.Null(full.Tuning);
        Assert.Contains(full.Warnings, w => w.Contains("not tuned"));
        Assert.Equal(Files(plain.Path)["model.safetensors"], Files(full.Path)["model.safetensors"]);
        Assert.NotEqual(Files(plain.Path)["model.safetensors"], Files(tuned.Path)["model.safetensors"]);
        var again = QuantizationRun.Execute(Many("short") with { Resume = true }, new SilentObserver(), default);
        Assert.Equal((RunStatus.AlreadyDone, tuned.Tuning), (again.Status, again.Tuning));
        Assert.Contains("TuningSteps", Assert.Throws<AwqException>(() => QuantizationRun.Plan(Many("plain") with { Resume = true }, new SilentObserver(), default)).Message);
        Assert.Contains("TuningSteps", Assert.Throws<AwqException>(() => QuantizationRun.Plan(Many("short") with { Resume = true, TuningSteps = 3 }, new SilentObserver(), default)).Message);
    }

    /// <summary>On a device a model is tuned unasked where it fits as a whole; to read layers again for each step would take longer than the layers did.</summary>
    [Theory]
    [InlineData(4, true)]
    [InlineData(4000, false)]
    public void OnADeviceWhatFitsIsTunedUnasked(int layers, bool tuned)
    {
        using var folder = ModelFolder.Open(QuantizedSample.Source);
        var config = (JsonObject)JsonNode.Parse(File.ReadAllText(Path.Combine(QuantizedSample.Source, "config.json")))!;
        config["num_hidden_layers"] = layers;
        var shapes = folder.Tensors.SelectMany(t => t.Key.StartsWith("model.layers.0.", StringComparison.Ordinal)
            ? Enumerable.Range(0, layers).Select(l => (t.Key.Replace(".0.", $".{l}."), t.Value.Shape)) : [(t.Key, t.Value.Shape)]).DistinctBy(t => t.Item1).ToDictionary();
        var graph = Repository.Catalog.Resolve(config, shapes);
        var options = Options("out") with { TuningSteps = null };
        QuantizationPlan Plan(DeviceTeam? team) => QuantizationPlan.Make(options, graph, folder, 512, 128, team: team);
        Assert.Equal(0, Plan(DeviceTeam.Of(ComputeDevice.Host)).Tuning!.DeviceBytes);
        var there = Plan(DeviceTeam.Of(new SimulatedDevice(1L << 40)));
        Assert.Equal(tuned, there.Tuning is not null);
        if (tuned)
            Assert.InRange(there.Tuning!.DeviceBytes, 1, there.DevicePeakMemory);
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
