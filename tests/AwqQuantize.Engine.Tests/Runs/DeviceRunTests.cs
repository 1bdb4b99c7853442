using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Whole runs on a device with a memory limit: with enough memory, with too little for one thing after another, with none.</summary>
public sealed class DeviceRunTests : IDisposable
{
    private const long Plenty = 1L << 40;

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void MakesTheChoicesOfTheCpu(bool fused)
    {
        var (onCpu, _) = Run("cpu", null);
        var device = new SimulatedDevice(Plenty, 0, ScalarType.Float32, fused ? HostKernels.Require() : null);
        var (onDevice, observer) = Run("device", DeviceTeam.Of(device));

        Assert.Equal("simulated:0", onDevice.Device);
        Assert.Equal("cpu", onCpu.Device);
        Assert.Contains(observer.Decisions, d => d.StartsWith(fused ? "Rounding with kernels of our own" : "Rounding with torch's operations", StringComparison.Ordinal));
        Assert.DoesNotContain(observer.Warnings, w => w.Id.StartsWith("Layer", StringComparison.Ordinal) || w.Id.StartsWith("Hidden", StringComparison.Ordinal) || w.Id == "MicroBatchReduced");
        Assert.True(device.Peak > 0);
        Assert.Equal(0, device.Used);
        var (expected, found) = (Groups(onCpu), Groups(onDevice));
        Assert.Equal(expected.Select(g => g.Name), found.Select(g => g.Name));
        // The first layer sees the same inputs; later ones what the layers before made of them.
        var first = onCpu.Layers[0].Groups.Count;
        Assert.Equal(expected.Take(first).Select(g => (g.Kind, g.Ratio)), found.Take(first).Select(g => (g.Kind, g.Ratio)));
        Assert.True(expected.Zip(found, (a, b) => a.Kind == b.Kind).Average(same => same ? 1.0 : 0) >= 0.85);
        foreach (var (a, b) in onCpu.Layers.SelectMany(l => l.Linears).Zip(onDevice.Layers.SelectMany(l => l.Linears)))
        {
            Assert.Equal(a.Module, b.Module);
            Assert.Equal(1, b.Loss / a.Loss, 0.1);
        }
        Assert.True(Agreement(onCpu.Path, onDevice.Path, "model.layers.0.self_attn.q_proj.qweight") > 0.97);
    }

    [Theory]
    [InlineData(16)]
    [InlineData(94)]
    public void AGpuMakesTheModelThatTheCpuMakes(int rows)
    {
        QuantizationOptions More(QuantizationOptions o) => o with { SampleCount = rows, SequenceLength = 256 };
        var team = DeviceTeam.Of(Gpu.Require());
        var (onCpu, _) = Run("cpu", null, More);
        var (onGpu, _) = Run("gpu", team, More);
        var (again, _) = Run("again", team, More);
        var (expected, found) = (Groups(onCpu), Groups(onGpu));
        Assert.Equal(File.ReadAllBytes(Path.Combine(onGpu.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(again.Path, "model.safetensors")));
        var first = onCpu.Layers[0].Groups.Count;
        Assert.Equal(expected.Take(first).Select(g => (g.Kind, g.Ratio)), found.Take(first).Select(g => (g.Kind, g.Ratio)));
        Assert.InRange(Kl(onGpu.Path) / Kl(onCpu.Path), 0.8, 1.1);
        Assert.True(Agreement(onCpu.Path, onGpu.Path, "model.layers.0.self_attn.q_proj.qweight") > 0.97);
    }

    [Fact]
    public void TheSameDeviceGivesTheSameBytes()
    {
        var (a, _) = Run("a", DeviceTeam.Of(new SimulatedDevice(Plenty)));
        var (b, _) = Run("b", DeviceTeam.Of(new SimulatedDevice(Plenty)));
        Assert.Equal(File.ReadAllBytes(Path.Combine(a.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(b.Path, "model.safetensors")));
    }

    /// <summary>Layers are written while the next is worked on, hidden states only now and then: what a run that ends leaves is taken up all the same.</summary>
    [Theory]
    [InlineData(9)]
    [InlineData(40)]
    [InlineData(60)]
    public void WhatEndsOnADeviceIsTakenUp(int stage)
    {
        var (whole, _) = Run("whole", Fast());
        var seen = 0;
        Assert.Throws<TimeoutException>(() => QuantizationRun.Execute(Options("cut"), new RecordingObserver(), default,
            _ => { if (++seen == stage) throw new TimeoutException(); }, Fast()));
        var (cut, _) = Run("cut", Fast());
        Assert.Equal(RunStatus.Resumed, cut.Status);
        Assert.Equal(File.ReadAllBytes(Path.Combine(whole.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(cut.Path, "model.safetensors")));

        static DeviceTeam Fast() => DeviceTeam.Of(new SimulatedDevice(Plenty, 0, ScalarType.Float32, HostKernels.Require()));
    }

    /// <summary>Each limit takes away one more thing; the run always ends with a complete checkpoint.</summary>
    [Fact]
    public void RetreatsStepByStepToTheCpu()
    {
        var roomy = new SimulatedDevice(Plenty);
        Run("roomy", DeviceTeam.Of(roomy));
        var seen = new HashSet<string>();
        for (var limit = roomy.Peak - 1; limit > 1000; limit /= 3)
        {
            var device = new SimulatedDevice(limit, claimed: Plenty);
            var (result, observer) = Run($"limit-{limit}", DeviceTeam.Of(device));
            Assert.Equal(28, result.QuantizedModules);
            Assert.Equal(0, device.Used);
            Assert.True(device.Peak <= limit);
            seen.UnionWith(observer.Warnings.Select(w => w.Id));
            // The device's memory is no reason to shorten sequences or to use the disk.
            Assert.All(result.Layers, l => Assert.Equal(128, l.SequenceLength));
            Assert.DoesNotContain(observer.Warnings, w => w.Id is "HiddenStatesOnDisk" or "SequenceLengthReduced");
        }
        Assert.Superset(new HashSet<string> { "MicroBatchReduced", "HiddenStatesOnHost", "LayerOnCpu" }, seen);
    }

    [Fact]
    public void WithoutRoomForALayerItIsTheCpusRun()
    {
        var (onCpu, _) = Run("cpu", null);
        var (result, observer) = Run("none", DeviceTeam.Of(new SimulatedDevice(1000)));
        Assert.Equal(4, observer.Warnings.Count(w => w.Id == "LayerOnCpu"));
        Assert.Equal(File.ReadAllBytes(Path.Combine(onCpu.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(result.Path, "model.safetensors")));
    }

    /// <summary>
    /// Statistics are summed up in another order, so the first layer's codes may differ in close decisions; all else is spread
    /// without changing anything.
    /// </summary>
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void SeveralDevicesMakeTheChoicesOfOne(int count)
    {
        var (one, _) = Run("one", DeviceTeam.Of(new SimulatedDevice(Plenty)));
        var devices = Enumerable.Range(0, count).Select(i => new SimulatedDevice(Plenty, i)).ToList();
        var (several, observer) = Run("several", new DeviceTeam(devices));

        Assert.Equal(string.Join(',', devices), several.Device);
        Assert.DoesNotContain(observer.Warnings, w => w.Id.StartsWith("Layer", StringComparison.Ordinal));
        Assert.All(devices, d => Assert.True(d.Peak > 0 && d.Used == 0 && d.Pinned.Now == 0));
        var first = one.Layers[0].Groups.Count;
        Assert.Equal(Groups(one).Take(first).Select(g => (g.Name, g.Kind, g.Ratio)), Groups(several).Take(first).Select(g => (g.Name, g.Kind, g.Ratio)));
        foreach (var (a, b) in one.Layers.SelectMany(l => l.Linears).Zip(several.Layers.SelectMany(l => l.Linears)))
        {
            Assert.Equal((a.Module, a.Tokens), (b.Module, b.Tokens));
            Assert.Equal(1, b.Loss / a.Loss, 0.1);
        }
        Assert.True(Agreement(one.Path, several.Path, "model.layers.0.self_attn.q_proj.qweight") > 0.97);
        var (again, _) = Run("again", new DeviceTeam([.. Enumerable.Range(0, count).Select(i => new SimulatedDevice(Plenty, i))]));
        Assert.Equal(File.ReadAllBytes(Path.Combine(several.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(again.Path, "model.safetensors")));
    }

    /// <summary>Where one micro-batch holds all rows there is one order of summing, so nothing at all may differ.</summary>
    [Fact]
    public void SpreadSearchAndRoundingAndCopiesOfALayerChangeNoByte()
    {
        static QuantizationOptions OneRow(QuantizationOptions o) => o with { SampleCount = 1, SequenceLength = 512 };
        var (one, _) = Run("one", DeviceTeam.Of(new SimulatedDevice(Plenty)), OneRow);
        var (two, _) = Run("two", new DeviceTeam([new SimulatedDevice(Plenty), new SimulatedDevice(Plenty, 1)]), OneRow);
        Assert.Equal(File.ReadAllBytes(Path.Combine(one.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(two.Path, "model.safetensors")));
    }

    [Fact]
    public void ASecondDeviceThatIsTooSmallIsDoneWithout()
    {
        var (one, _) = Run("one", DeviceTeam.Of(new SimulatedDevice(Plenty)), RowByRow);
        var (two, observer) = Run("two", new DeviceTeam([new SimulatedDevice(Plenty), new SimulatedDevice(1000, 1)]), RowByRow);
        Assert.Equal(4, observer.Warnings.Count(w => w.Id == "LayerOnOneDevice"));
        Assert.DoesNotContain(observer.Warnings, w => w.Id == "LayerOnCpu");
        Assert.Equal(File.ReadAllBytes(Path.Combine(one.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(two.Path, "model.safetensors")));

        static QuantizationOptions RowByRow(QuantizationOptions o) => o with { SampleCount = 1, SequenceLength = 512 };
    }

    /// <summary>What a GPU does: forwards in bfloat16, everything that decides in float32. The model is as good as the CPU's.</summary>
    [Fact]
    public void ForwardsInHalfPrecisionCostNothing()
    {
        // Of fewer tokens either is better now and then, by a third.
        static QuantizationOptions Enough(QuantizationOptions o) => o with { SampleCount = 32 };
        var (onCpu, _) = Run("cpu", null, Enough);
        var (half, _) = Run("half", DeviceTeam.Of(new SimulatedDevice(Plenty, 0, ScalarType.BFloat16, HostKernels.Require())), Enough);
        Assert.NotEqual(File.ReadAllBytes(Path.Combine(onCpu.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(half.Path, "model.safetensors")));
        var (exact, rough) = (Kl(onCpu.Path), Kl(half.Path));
        Assert.True(rough <= exact * 1.1, $"KL {rough} after forwards in bfloat16, {exact} on the CPU");
    }

    /// <summary>Room for everything, and room for all but the hidden states: the plan says which, and what the device will hold.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ThePlanKnowsWhatTheDeviceWillHold(bool roomForHiddenStates)
    {
        var roomy = Plan(Plenty);
        Assert.True(roomy.HiddenStatesOnDevice);
        Assert.Equal(4L * 4 * 128 * 128, roomy.HiddenStatesBytes);
        var limit = roomForHiddenStates ? Plenty : (long)((roomy.DeviceLayerMemory + roomy.HiddenStatesBytes / 2) / 0.9);
        var plan = Plan(limit);
        Assert.Equal(roomForHiddenStates, plan.HiddenStatesOnDevice);
        Assert.Equal(roomy.Batching, plan.Batching);

        var device = new SimulatedDevice(limit);
        var (result, observer) = Run("planned", DeviceTeam.Of(device));
        Assert.DoesNotContain(observer.Warnings, w => w.Id is "MicroBatchReduced" or "HiddenStatesOnHost" or "LayerOnCpu");
        Assert.Equal(device.Peak, result.DevicePeakMemory);
        Assert.InRange((double)plan.DevicePeakMemory / device.Peak, 1, 1.3);
        // Three layers are read ahead, nine tensors each; hidden states of the host are one more.
        Assert.Equal((0, 3 * 9 + (roomForHiddenStates ? 0 : 1)), device.Pinned);
    }

    private QuantizationPlan Plan(long limit)
    {
        using var folder = ModelFolder.Open(SharedData.Repository("samples/stories-llama"));
        var graph = ArchitectureCatalog.Load(SharedData.Repository("module/Architectures")).Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        return QuantizationPlan.Make(Options("plan"), graph, folder, 4, 128, team: DeviceTeam.Of(new SimulatedDevice(limit)));
    }

    /// <summary>Tuning begins at what rounding has left of each weight, wherever it was rounded, and goes on there.</summary>
    [Fact]
    public void WhatWasRoundedOnADeviceIsTunedThere()
    {
        var stages = 0;
        var device = new SimulatedDevice(Plenty);
        var options = Options("tuned") with { TuningSteps = 2, SampleCount = 32, SequenceLength = 64 };
        var result = QuantizationRun.Execute(options, new RecordingObserver(), default, stage =>
        {
            if (stage == "tuning")
                Assert.InRange(device.Used, ++stages, Plenty);
        }, DeviceTeam.Of(device));
        Assert.Equal(2, stages);
        Assert.True(result.Tuning!.KlAfter <= result.Tuning.KlBefore);
    }

    [Fact]
    public void PlainRoundingOnADeviceIsThatOfTheCpu()
    {
        var (onCpu, _) = Run("cpu", null, o => o with { NoCalibration = true, CalibrationData = [] });
        var (onDevice, _) = Run("device", DeviceTeam.Of(new SimulatedDevice(Plenty)), o => o with { NoCalibration = true, CalibrationData = [] });
        Assert.Equal(File.ReadAllBytes(Path.Combine(onCpu.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(onDevice.Path, "model.safetensors")));
    }

    /// <summary>Which is for the CPU, but a user may insist.</summary>
    [Fact]
    public void MaximumQualityOnADeviceWarnsThatLastBitsMayDiffer()
    {
        static QuantizationOptions Maximum(QuantizationOptions options) => options with { MaxQuality = true, TuningSteps = 2 };
        var (_, onCpu) = Run("cpu", null, Maximum);
        var (onDevice, observer) = Run("device", DeviceTeam.Of(new SimulatedDevice(Plenty)), Maximum);
        Assert.DoesNotContain(onCpu.Warnings, w => w.Id == "MaxQualityOnDevice");
        Assert.Single(observer.Warnings, w => w.Id == "MaxQualityOnDevice");
        Assert.Equal("simulated:0", onDevice.Device);
        Assert.Equal(2, onDevice.Tuning!.Steps);
    }

    private (AwqQuantizationResult Result, RecordingObserver Observer) Run(string output, DeviceTeam? team, Func<QuantizationOptions, QuantizationOptions>? change = null)
    {
        var observer = new RecordingObserver();
        var options = Options(output);
        return (QuantizationRun.Execute(change?.Invoke(options) ?? options, observer, default, null, team), observer);
    }

    private QuantizationOptions Options(string output) => new()
    {
        ModelPath = SharedData.Repository("samples/stories-llama"), ModuleRoot = SharedData.Repository("module"), OutputPath = temporary.File(output),
        ForceCpu = true, GroupSize = 64, SampleCount = 4, SequenceLength = 128, CalibrationData = [SharedData.Repository("module/Calibration/narrative.txt")],
    };

    /// <summary>KL divergence to the float sample on text that nothing was fitted to.</summary>
    private static double Kl(string path)
    {
        using var made = ModelSource.Open(path, ArchitectureCatalog.Load(SharedData.Repository("module/Architectures")));
        using var source = ModelSource.Open(SharedData.Repository("samples/stories-llama"), ArchitectureCatalog.Load(SharedData.Repository("module/Architectures")));
        var options = new MeasurementOptions { Texts = [SharedData.Repository("module/Calibration/dialogue.txt")], Context = 256, MaximumTokens = 2048, Device = "cpu" };
        return ModelMeasurement.Run(made, source, options).KlDivergence!.Value;
    }

    private static List<ScaleGroupOutcome> Groups(AwqQuantizationResult result) => [.. result.Layers.SelectMany(l => l.Groups)];

    /// <summary>Share of 4-bit codes that are the same.</summary>
    private static unsafe double Agreement(string a, string b, string tensor)
    {
        using var first = ModelFolder.Open(a);
        using var second = ModelFolder.Open(b);
        var count = (int)first.Tensors[tensor].ElementCount;
        var x = new ReadOnlySpan<uint>(first.Pointer(tensor), count);
        var y = new ReadOnlySpan<uint>(second.Pointer(tensor), count);
        var same = 0;
        for (var i = 0; i < count; i++)
            for (var shift = 0; shift < 32; shift += 4)
                same += ((x[i] >> shift) & 15) == ((y[i] >> shift) & 15) ? 1 : 0;
        return same / (8.0 * count);
    }
}
