using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Whole runs on a device with a memory limit: with enough memory, with too little for one thing after another, with none.</summary>
public sealed class DeviceRunTests : IDisposable
{
    private const long Plenty = 1L << 40;

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void MakesTheChoicesOfTheCpu()
    {
        var (onCpu, _) = Run("cpu", null);
        var device = new SimulatedDevice(Plenty);
        var (onDevice, observer) = Run("device", device);

        Assert.Equal("simulated:0", onDevice.Device);
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

    [Fact]
    public void TheSameDeviceGivesTheSameBytes()
    {
        var (a, _) = Run("a", new SimulatedDevice(Plenty));
        var (b, _) = Run("b", new SimulatedDevice(Plenty));
        Assert.Equal(File.ReadAllBytes(Path.Combine(a.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(b.Path, "model.safetensors")));
    }

    /// <summary>Each limit takes away one more thing; the run always ends with a complete checkpoint.</summary>
    [Fact]
    public void RetreatsStepByStepToTheCpu()
    {
        var roomy = new SimulatedDevice(Plenty);
        Run("roomy", roomy);
        var seen = new HashSet<string>();
        for (var limit = roomy.Peak - 1; limit > 1000; limit /= 3)
        {
            var device = new SimulatedDevice(limit);
            var (result, observer) = Run($"limit-{limit}", device);
            Assert.Equal(28, result.QuantizedModules);
            Assert.Equal(0, device.Used);
            Assert.True(device.Peak <= limit);
            seen.UnionWith(observer.Warnings.Select(w => w.Id));
            // The device's memory is no reason to shorten sequences or to use the disk.
            Assert.All(result.Layers, l => Assert.Equal(128, l.SequenceLength));
            Assert.DoesNotContain(observer.Warnings, w => w.Id is "HiddenStatesOnDisk" or "SequenceLengthReduced");
        }
        Assert.Superset(new HashSet<string> { "MicroBatchReduced", "LayerOnCpu" }, seen);
    }

    [Fact]
    public void WithoutRoomForALayerItIsTheCpusRun()
    {
        var (onCpu, _) = Run("cpu", null);
        var (result, observer) = Run("none", new SimulatedDevice(1000));
        Assert.Equal(4, observer.Warnings.Count(w => w.Id == "LayerOnCpu"));
        Assert.Equal(File.ReadAllBytes(Path.Combine(onCpu.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(result.Path, "model.safetensors")));
    }

    [Fact]
    public void PlainRoundingOnADeviceIsThatOfTheCpu()
    {
        var (onCpu, _) = Run("cpu", null, o => o with { NoCalibration = true, CalibrationData = [] });
        var (onDevice, _) = Run("device", new SimulatedDevice(Plenty), o => o with { NoCalibration = true, CalibrationData = [] });
        Assert.Equal(File.ReadAllBytes(Path.Combine(onCpu.Path, "model.safetensors")), File.ReadAllBytes(Path.Combine(onDevice.Path, "model.safetensors")));
    }

    /// <summary>Which is for the CPU, but a user may insist.</summary>
    [Fact]
    public void MaximumQualityOnADeviceWarnsThatLastBitsMayDiffer()
    {
        static QuantizationOptions Maximum(QuantizationOptions options) => options with { MaxQuality = true, TuningSteps = 2 };
        var (_, onCpu) = Run("cpu", null, Maximum);
        var (onDevice, observer) = Run("device", new SimulatedDevice(Plenty), Maximum);
        Assert.DoesNotContain(onCpu.Warnings, w => w.Id == "MaxQualityOnDevice");
        Assert.Single(observer.Warnings, w => w.Id == "MaxQualityOnDevice");
        Assert.Equal("simulated:0", onDevice.Device);
        Assert.Equal(2, onDevice.Tuning!.Steps);
    }

    private (AwqQuantizationResult Result, RecordingObserver Observer) Run(string output, SimulatedDevice? device, Func<QuantizationOptions, QuantizationOptions>? change = null)
    {
        var observer = new RecordingObserver();
        var options = new QuantizationOptions
        {
            ModelPath = SharedData.Repository("samples/stories-llama"), ModuleRoot = SharedData.Repository("module"), OutputPath = temporary.File(output),
            ForceCpu = true, GroupSize = 64, SampleCount = 4, SequenceLength = 128, CalibrationData = [SharedData.Repository("module/Calibration/narrative.txt")],
        };
        return (QuantizationRun.Execute(change?.Invoke(options) ?? options, observer, default, null, device), observer);
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
