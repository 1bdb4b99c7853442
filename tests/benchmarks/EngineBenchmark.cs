using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Benchmarks;

/// <summary>
/// What quantising costs in forwards of the same tokens through the same layers, measured in the same run with the same threads, and
/// where the time goes.
/// </summary>
internal static class EngineBenchmark
{
    /// <summary>engine [--model FOLDER] [--layers N] [--rows N] [--kept MB] [--only smollm2|8b]</summary>
    public static int Run(string[] args)
    {
        string? Option(string name) => Array.IndexOf(args, name) is var i and >= 0 ? args[i + 1] : null;
        var peak = Peak();
        Console.WriteLine($"matrix peak {peak:F0} GFLOP/s, memory {Bandwidth():F1} GB/s, {get_num_threads()} threads");
        long? kept = Option("--kept") is { } megabytes ? long.Parse(megabytes) << 20 : null;
        var only = Option("--only");
        if (only is null or "smollm2")
        {
            using var folder = Option("--model") is { } path ? ModelFolder.Open(path) : null;
            var random = folder is null ? new RandomModel(576, 1536, 9, 3, 30, 49152) : null;
            var graph = random?.Graph ?? ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures"))
                .Resolve(folder!.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
            Measure(folder is null ? "smollm2-135m shape, random weights" : "smollm2-135m", graph, random ?? (ITensorSource)new FolderTensorSource(folder!),
                int.Parse(Option("--rows") ?? "64"), 512, int.Parse(Option("--layers") ?? "30"), 64, peak, kept);
        }
        if (only is null or "8b")
        {
            var random = new RandomModel(4096, 14336, 32, 8, 1, 256);
            Measure("one layer of Llama-3-8B's shape, random weights", random.Graph, random, int.Parse(Option("--rows") ?? "32"), 512, 1, 128, peak, kept);
        }
        return 0;
    }

    private static void Measure(string name, ModelGraph graph, ITensorSource source, int rows, int length, int layers, int groupSize, double peak, long? kept)
    {
        using var scope = NewDisposeScope();
        using var model = DecoderModel.Open(graph, source, CPU);
        using var hidden = new HiddenStates(rows, length, graph.HiddenSize);
        manual_seed(1);
        for (var row = 0; row < rows; row++)
            hidden.Store(row, model.Embed(randint(graph.VocabularySize, [1, length])));
        model.ReleaseEmbedding();
        var atOnce = Math.Max(1, 2048 / length);
        var batch = new MicroBatch(atOnce, "hidden.spill", (_, text) => Console.Error.WriteLine(text));
        var settings = new AwqSettings { GroupSize = groupSize };
        if (kept is { } bytes)
            settings = settings with { KeptInputBytes = bytes };
        var (forward, total, forwardCpu, totalCpu) = (0.0, 0.0, 0.0, 0.0);
        var stages = new Dictionary<string, double>();
        var operations = 0.0;
        var counted = new Dictionary<string, double>();
        layers = Math.Min(layers, graph.LayerCount);
        for (var i = 0; i < layers; i++)
        {
            using var layer = model.LoadLayer(i);
            operations += layer.Graph.Linears.Sum(l => 2.0 * l.In * l.Out) * rows * length;
            foreach (var (stage, count) in StageOperations.Of(layer.Graph, settings, (double)rows * length, length))
                counted[stage] = counted.GetValueOrDefault(stage) + count;
            var clock = Stopwatch.StartNew();
            var cpu = Cpu();
            for (var from = 0; from < rows; from += atOnce)
            {
                using var inner = NewDisposeScope();
                layer.Forward(hidden.View(from, Math.Min(atOnce, rows - from)));
            }
            forward += clock.Elapsed.TotalSeconds;
            forwardCpu += Cpu() - cpu;
            cpu = Cpu();
            clock.Restart();
            var outcome = new LayerQuantizer(layer, hidden, settings, ModuleSelection.StayFloat(layer.Graph, groupSize, []), batch, default).Run();
            total += clock.Elapsed.TotalSeconds;
            totalCpu += Cpu() - cpu;
            foreach (var (stage, seconds) in outcome.Seconds)
                stages[stage] = stages.GetValueOrDefault(stage) + seconds;
            NativeHeap.Trim();
        }
        Console.WriteLine($"{name}: {layers} layers, {rows} x {length} tokens, group {groupSize}");
        Console.WriteLine($"forward_equivalents={total / forward:F2}");
        Console.WriteLine($"  by processor time, which other work on the machine disturbs less: {totalCpu / forwardCpu:F2} ({totalCpu:F0} s / {forwardCpu:F0} s)");
        Console.WriteLine($"  forward {forward:F1} s ({operations / forward / 1e9:F0} GFLOP/s in the linears, {operations / forward / 1e9 / peak:P0} of the matrix peak), quantising {total:F1} s");
        foreach (var (stage, seconds) in stages.OrderByDescending(s => s.Value))
            Console.WriteLine($"  {stage,-12} {seconds,8:F1} s  {seconds / forward:F2} forwards"
                + (counted.TryGetValue(stage, out var count) ? $"  {count / seconds / 1e9:F0} GFLOP/s in matrix products, {count / seconds / 1e9 / peak:P0} of the peak" : ""));
        Console.WriteLine($"  peak memory {Process.GetCurrentProcess().PeakWorkingSet64 / 1e6:F0} MB");
    }

    private static double Cpu()
    {
        using var process = Process.GetCurrentProcess();
        return process.TotalProcessorTime.TotalSeconds;
    }

    private static double Peak()
    {
        using var scope = NewDisposeScope();
        var (a, b) = (randn(2048, 2048), randn(2048, 2048));
        var best = 0.0;
        for (var i = 0; i < 4; i++)
        {
            var clock = Stopwatch.StartNew();
            a.mm(b).Dispose();
            best = Math.Max(best, 2.0 * 2048 * 2048 * 2048 / clock.Elapsed.TotalSeconds / 1e9);
        }
        return best;
    }

    private static double Bandwidth()
    {
        using var scope = NewDisposeScope();
        var (a, b) = (ones(64 << 20), empty(64 << 20));
        var best = 0.0;
        for (var i = 0; i < 4; i++)
        {
            var clock = Stopwatch.StartNew();
            b.copy_(a);
            best = Math.Max(best, 2.0 * 4 * (64 << 20) / clock.Elapsed.TotalSeconds / 1e9);
        }
        return best;
    }
}
