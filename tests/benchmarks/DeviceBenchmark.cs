using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Benchmarks;

/// <summary>
/// Everything that is to be known of a device in one command: whether the sample comes out as on the CPU, and what layers of two
/// shapes take there, in forwards, seconds and memory.
/// </summary>
internal static class DeviceBenchmark
{
    private const int Length = 512;

    private sealed record Shape(string Name, RandomModel Model, int GroupSize, int Layers);

    /// <summary>device [--device NAME] [--torch PATH] [--only sample|smollm2|8b] [--rows N] [--layers N]</summary>
    public static int Run(string[] args)
    {
        string? Option(string name) => Array.IndexOf(args, name) is var i and >= 0 ? args[i + 1] : null;
        if (Option("--torch") is { } path)
            TorchRuntime.Use(Path.GetFullPath(path));
        TorchRuntime.EnsureLoaded();
        var team = new DeviceTeam(Devices.ChooseAll(Option("--device") ?? "auto", forceCpu: false));
        var only = Option("--only");
        foreach (var device in DeviceInventory.Read().Where(d => team.Members.Any(m => m.Name == d.Name)))
            Console.WriteLine($"{device.Name}: {device.Model}, {device.Memory / 1e9:F1} GB ({device.FreeMemory / 1e9:F1} GB free), compute capability {device.ComputeCapability?.ToString() ?? "none"}");
        Console.WriteLine($"libtorch {TorchRuntime.Library.Version ?? "of the module"} in {TorchRuntime.Library.Folder}");
        if (only is null or "sample")
            Sample(team);
        // The CPU takes minutes where a GPU takes seconds.
        var rows = int.Parse(Option("--rows") ?? (team.Lead.IsHost ? "8" : "128"));
        if (only is null or "smollm2")
            Measure(team, new Shape("smollm2-135m's shape", new RandomModel(576, 1536, 9, 3, 30, 49152), 64, int.Parse(Option("--layers") ?? "3")), rows);
        if (only is null or "8b")
            Measure(team, new Shape("Llama-3-8B's shape", new RandomModel(4096, 14336, 32, 8, 2, 256), 128, int.Parse(Option("--layers") ?? (team.Lead.IsHost ? "1" : "2"))), rows);
        return 0;
    }

    /// <summary>The sample on the device and on the CPU: which scales were chosen, and how far the models are from the float one.</summary>
    private static void Sample(DeviceTeam team)
    {
        var folder = Directory.CreateTempSubdirectory("awq-device-").FullName;
        try
        {
            var there = Quantise(team, Path.Combine(folder, "device"));
            var here = Quantise(DeviceTeam.Of(ComputeDevice.Host), Path.Combine(folder, "cpu"));
            var groups = here.Layers.SelectMany(l => l.Groups).Zip(there.Layers.SelectMany(l => l.Groups)).ToList();
            var (klHere, klThere) = (Kl(here.Path), Kl(there.Path));
            Console.WriteLine("sample (stories-llama), 16 x 256 tokens, group 64");
            Console.WriteLine($"  same_scales={groups.Count(g => (g.First.Kind, g.First.Ratio) == (g.Second.Kind, g.Second.Ratio))}/{groups.Count}; of the first layer {groups.Take(here.Layers[0].Groups.Count).Count(g => (g.First.Kind, g.First.Ratio) == (g.Second.Kind, g.Second.Ratio))}/{here.Layers[0].Groups.Count}");
            Console.WriteLine($"  kl_device={klThere:F5} kl_cpu={klHere:F5} ratio={klThere / klHere:F4}");
            Console.WriteLine($"  {there.Duration.TotalSeconds:F1} s on {there.Device}, {here.Duration.TotalSeconds:F1} s on the CPU; device memory {there.DevicePeakMemory / 1e6:F0} MB");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static AwqQuantizationResult Quantise(DeviceTeam team, string output) => QuantizationRun.Execute(new QuantizationOptions
    {
        ModelPath = SamplePath, ModuleRoot = Module, OutputPath = output, GroupSize = 64, SampleCount = 16, SequenceLength = 256,
        CalibrationData = [Path.Combine(Module, "Calibration", "narrative.txt")],
    }, new Warnings(), default, null, team);

    private static double Kl(string path)
    {
        var catalog = ArchitectureCatalog.Load(Path.Combine(Module, "Architectures"));
        using var made = ModelSource.Open(path, catalog);
        using var source = ModelSource.Open(SamplePath, catalog);
        return ModelMeasurement.Run(made, source, new MeasurementOptions { Texts = [Path.Combine(Module, "Calibration", "dialogue.txt")], Context = 256, MaximumTokens = 8192 }).KlDivergence!.Value;
    }

    private static void Measure(DeviceTeam team, Shape shape, int rows)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var graph = shape.Model.Graph;
        var options = new QuantizationOptions { ModelPath = SamplePath, ModuleRoot = Module, GroupSize = shape.GroupSize };
        var memory = new MemoryEstimate(graph, options, rows, Length);
        var (free, kept) = (team.Lead.FreeMemory, options.Settings.KeptInputBytes);
        var batching = (team.Lead.IsHost ? null : Batching.ForDevice(memory, rows, Length, team, free, kept)) ?? Batching.Choose(memory, rows, Length, HostMemory.Free(), kept, out _);
        var layerMemory = memory.OnDevice(team.Lead, batching.RowsAtOnce, batching.KeptInputBytes);
        var onDevice = !team.Lead.IsHost && layerMemory + memory.HiddenStates < free * 0.9;
        using var model = DecoderModel.Open(graph, shape.Model, team.Lead);
        using var hidden = HiddenStates.Place(rows, Length, graph.HiddenSize, team.Lead, onDevice, null, Console.WriteLine);
        manual_seed(1);
        for (var row = 0; row < rows; row++)
            hidden.Store(row, model.Embed(randint(graph.VocabularySize, [1, Length])));
        model.ReleaseEmbedding();
        var batch = new MicroBatch(batching.RowsAtOnce, "hidden.spill", (_, text) => Console.WriteLine($"  {text}"));
        var settings = options.Settings with { KeptInputBytes = batching.KeptInputBytes };
        Console.WriteLine($"{shape.Name}, random weights, {rows} x {Length} tokens, group {shape.GroupSize}, {batching.RowsAtOnce} rows at once, forwards in {team.Lead.ForwardType(graph.HiddenSize)}, hidden states {(onDevice ? "on the device" : "in host memory")}");
        using var layers = new LayerPrefetch(model, ahead: false);
        var layersSeen = new List<(double Forward, double Total, IReadOnlyDictionary<string, double> Stages)>();
        for (var i = 0; i < Math.Min(shape.Layers, graph.LayerCount); i++)
        {
            using var layer = layers.Take(i);
            var clock = Stopwatch.StartNew();
            for (var from = 0; from < rows; from += batching.RowsAtOnce)
            {
                using var inner = NewDisposeScope();
                layer.Forward(hidden.View(from, Math.Min(batching.RowsAtOnce, rows - from)).to(layer.Device));
            }
            team.Lead.Synchronize();
            var forward = clock.Elapsed.TotalSeconds;
            var peak = team.Lead.PeakMemory;
            clock.Restart();
            var outcome = new LayerQuantizer(layer, hidden, settings, ModuleSelection.StayFloat(layer.Graph, shape.GroupSize, []), batch, default, team).Run();
            team.Lead.Synchronize();
            layersSeen.Add((forward, clock.Elapsed.TotalSeconds, outcome.Seconds));
            Console.WriteLine($"  layer {i}: forward {forward:F3} s, quantising {layersSeen[^1].Total:F3} s, forward_equivalents={layersSeen[^1].Total / forward:F2} ({string.Join(", ", outcome.Seconds.OrderByDescending(s => s.Value).Select(s => $"{s.Key} {s.Value:F2}"))}); device memory {peak / 1e6:F0} MB by the forward, {team.Lead.PeakMemory / 1e6:F0} MB after");
            NativeHeap.Trim();
        }
        // Of the last layer: the first also loads and compiles what a device needs.
        Console.WriteLine($"  forward_equivalents={layersSeen[^1].Total / layersSeen[^1].Forward:F2} seconds_per_layer={layersSeen[^1].Total:F2}");
        var (predicted, measured) = (layerMemory + (onDevice ? memory.HiddenStates : 0), team.Lead.PeakMemory);
        Console.WriteLine(team.Lead.IsHost
            ? $"  peak memory of the process {ProcessMemory.Peak / 1e6:F0} MB; planned for a run {(MemoryEstimate.FreshProcess + memory.HiddenStates + memory.Working(batching.RowsAtOnce, batching.KeptInputBytes)) / 1e6:F0} MB"
            : $"  device memory: planned {predicted / 1e6:F0} MB, peak so far {measured / 1e6:F0} MB, ratio {(double)predicted / measured:F2}");
    }

    private static string Module => Path.Combine(Repository.Root, "module");

    private static string SamplePath => Path.Combine(Repository.Root, "samples", "stories-llama");

    private sealed class Warnings : IRunObserver
    {
        public void Progress(RunProgress progress)
        {
        }

        public void Warning(string id, string message)
        {
            if (id is not ("FewCalibrationTokens" or "FloatPerplexityHigh"))
                Console.WriteLine($"  {message}");
        }

        public void Decision(string message)
        {
        }
    }
}
