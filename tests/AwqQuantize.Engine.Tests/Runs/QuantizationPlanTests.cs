using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

public sealed class QuantizationPlanTests
{
    private static readonly MachineSpeed Speed = new(1e11, 1e7);

    private string Sample => Path.Combine(Repository.Root, "samples", "stories-llama");

    [Fact]
    public void CountsEveryLinearAndEveryByteOfTheCheckpoint()
    {
        var plan = Make(rows: 128, length: 512);
        Assert.Equal(28, plan.QuantizedModules);
        using var folder = ModelFolder.Open(Sample);
        var quantized = folder.Tensors.Values.Where(t => t.Name.EndsWith("_proj.weight")).Sum(t => t.ElementCount);
        var rest = folder.Tensors.Values.Where(t => !t.Name.EndsWith("_proj.weight")).Sum(t => t.ElementCount);
        // Per group of 64: 32 bytes of codes, 2 of scale, half a byte of zero point.
        Assert.Equal(quantized / 64 * 32 + quantized / 64 * 2 + quantized / 128 + 2 * rest, plan.Size);
        Assert.Equal(4L * 128 * 512 * 128, plan.HiddenStatesMemory);
    }

    [Fact]
    public void MoreTokensTakeMoreMemoryAndTimeAndALimitMovesHiddenStatesToDisk()
    {
        var (small, large) = (Make(rows: 16, length: 512), Make(rows: 256, length: 512));
        Assert.True(large.PeakMemory > small.PeakMemory + 3L * 240 * 512 * 128);
        Assert.InRange(large.Duration!.Value / small.Duration!.Value, 1.5, 16);
        var limited = Make(rows: 4096, length: 512, limit: 400L << 20);
        Assert.True(limited.HiddenStatesOnDisk);
        Assert.Equal(0, limited.HiddenStatesMemory);
        Assert.Equal(0, limited.Batching.KeptInputBytes);
        Assert.True(limited.PeakMemory < 400L << 20);
        var free = Make(rows: 4096, length: 512, limit: 64L << 30);
        Assert.False(free.HiddenStatesOnDisk);
        Assert.True(free.PeakMemory >= limited.PeakMemory + 4L * 4096 * 512 * 128);
        Assert.True(limited.DiskBytes > free.DiskBytes);
    }

    [Fact]
    public void RoundingWithoutCalibrationCostsNoForward()
    {
        var plan = Make(0, 0);
        Assert.Equal(0, plan.Work.Forward);
        Assert.Equal(0, plan.HiddenStatesMemory);
        Assert.True(plan.Duration < Make(16, 512).Duration);
    }

    [Fact]
    public void ForwardIsTwoOperationsPerWeightAndToken()
    {
        var plan = Make(rows: 16, length: 64);
        var weights = 4 * (4 * 128.0 * 128 + 3 * 128 * 384);
        // Attention and element-wise work come on top.
        Assert.InRange(plan.Work.Forward / (2 * weights * 16 * 64), 1, 4);
    }

    [Fact]
    public void TooLittleDiskIsAnErrorBeforeTheFirstLayer()
    {
        var error = Assert.Throws<AwqException>((Make(16, 512) with { DiskBytes = long.MaxValue }).Check);
        Assert.Equal("DiskFull", error.Id);
    }

    [Fact]
    public void BitsOfALayerCountWhatStaysFloat()
    {
        using var folder = ModelFolder.Open(Sample);
        var graph = Repository.Catalog.Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        var options = new QuantizationOptions { ModelPath = Sample, ModuleRoot = Sample, OutputPath = Path.Combine(Path.GetTempPath(), "plan-out"), GroupSize = 64, ExcludeModule = ["*layers.1.mlp.down_proj"] };
        var plan = QuantizationPlan.Make(options, graph, folder, 16, 64);
        // 4 bits, and 16 + 4 bits for 64 weights; down_proj has 128 · 384 of 3 · 128² + 3 · 128 · 384 weights (keys and values have half the heads).
        Assert.Equal(4.3125, plan.BitsOf(graph.Layers[0]), 9);
        Assert.Equal(4.3125 + (16 - 4.3125) * (128 * 384) / (3 * 128 * 128 + 3 * 128 * 384), plan.BitsOf(graph.Layers[1]), 9);
    }

    private QuantizationPlan Make(int rows, int length, long? limit = null)
    {
        using var folder = ModelFolder.Open(Sample);
        var graph = Repository.Catalog.Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        var options = new QuantizationOptions { ModelPath = Sample, ModuleRoot = Sample, OutputPath = Path.Combine(Path.GetTempPath(), "plan-out"), GroupSize = 64, MemoryLimit = limit };
        return QuantizationPlan.Make(options, graph, folder, rows, length, 0, Speed);
    }
}
