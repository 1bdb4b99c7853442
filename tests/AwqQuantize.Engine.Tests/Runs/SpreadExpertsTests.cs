using System.Collections.Concurrent;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;
using AwqQuantize.Engine.Tests.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Routed experts, one on each of several devices: the bytes of one device, also where memory runs out in between.</summary>
public sealed class SpreadExpertsTests : IDisposable
{
    private const long Plenty = 1L << 40;
    private const int RowTokens = 512;

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData("qwen3_moe", 3, true)]
    [InlineData("gpt_oss", 3, false)]
    [InlineData("deepseek_v3", 4, false)]
    public void ManyDevicesMakeTheBytesOfOne(string name, int count, bool everyToken)
    {
        QuantizationOptions Tokens(QuantizationOptions o) => o with { CalibrateEveryExpert = everyToken };
        var (expected, alone) = Run(name, "one", 1, Tokens);
        var (found, stages) = Run(name, "many", count, Tokens);
        Assert.Equal(expected, found);
        Assert.DoesNotContain(alone, s => s.Thread?.StartsWith("device", StringComparison.Ordinal) == true);
        Assert.Equal(alone.Count(s => s.Stage == "factor"), stages.Count(s => s.Stage == "factor"));
        Assert.All(Enumerable.Range(0, count), device => Assert.Contains(("factor", $"device {device}"), stages));
    }

    /// <summary>Whoever has no room after some of an expert's weights were changed: all that was done side by side is undone and done again, at last by one device.</summary>
    [Fact]
    public void ExpertsThatFindNoRoomAreBegunAnew()
    {
        var (expected, _) = Run("qwen3_moe", "roomy", 1);
        Assert.Equal(expected, Narrow("device 0", "rounding", 3, failures: 1, "HiddenStatesOnHost"));
        Assert.Equal(expected, Narrow("device 1", "search", 1, failures: 1, "HiddenStatesOnHost"));
        // Hidden states leave the device first; the next time the other device is done without.
        Assert.Equal(expected, Narrow("device 1", "rounding", 3, failures: 2, "LayerOnOneDevice"));
    }

    private byte[] Narrow(string device, string stage, int time, int failures, string warning)
    {
        var observer = new RecordingObserver();
        var (seen, failed) = (0, 0);
        var (model, _) = Run("qwen3_moe", $"{device}-{stage}-{failures}", 2, observer: observer, probe: (name, thread) =>
        {
            if (thread != device || name != stage || failed == failures || ++seen < time)
                return;
            (seen, failed) = (0, failed + 1);
            throw new DeviceMemoryExhaustedException("as a test has it");
        });
        Assert.Equal(failures, failed);
        Assert.Contains(observer.Warnings, w => w.Id == warning);
        return model;
    }

    private (byte[] Model, IReadOnlyCollection<(string Stage, string? Thread)> Stages) Run(string name, string output, int devices,
        Func<QuantizationOptions, QuantizationOptions>? change = null, RecordingObserver? observer = null, Action<string, string?>? probe = null)
    {
        // One row, so that there is one order of summing.
        var options = new QuantizationOptions
        {
            ModelPath = Path.Combine(TinyModel.Root, name), ModuleRoot = SharedData.Repository("module"), OutputPath = temporary.File(output), ForceCpu = true,
            GroupSize = 32, SampleCount = 1, SequenceLength = RowTokens, CalibrationData = [Row(name)],
        };
        var team = new DeviceTeam([.. Enumerable.Range(0, devices).Select(i => new SimulatedDevice(Plenty, i, ScalarType.Float32, HostKernels.Require()))]);
        var stages = new ConcurrentBag<(string, string?)>();
        QuantizationRun.Execute(change?.Invoke(options) ?? options, observer ?? new RecordingObserver(), default, stage =>
        {
            stages.Add((stage, Thread.CurrentThread.Name));
            probe?.Invoke(stage, Thread.CurrentThread.Name);
        }, team);
        Assert.All(team.Members, d => Assert.Equal(0, ((SimulatedDevice)d).Used));
        return (File.ReadAllBytes(Path.Combine(options.OutputPath!, "model.safetensors")), stages);
    }

    /// <summary>Random calibration tokens, as a file.</summary>
    private string Row(string name)
    {
        using var model = TinyModel.Open(name);
        return RandomTokens.Write(temporary.File($"{name}.safetensors"), 11, model.Graph.VocabularySize, 1, RowTokens);
    }
}
