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

/// <summary>Resident memory after each layer of a generated model, against what a single layer needs: it must be flat from the second layer on.</summary>
internal static class MemoryBenchmark
{
    /// <summary>memory [LAYERS] [HIDDEN] [INTERMEDIATE], or memory MODEL</summary>
    public static int Run(string[] args)
    {
        int Argument(int i, int or) => args.Length > i ? int.Parse(args[i]) : or;
        using var folder = args.Length > 0 && Directory.Exists(args[0]) ? ModelFolder.Open(args[0]) : null;
        var random = folder is null ? new RandomModel(Argument(1, 1024), Argument(2, 2816), Argument(1, 1024) / 64, Argument(1, 1024) / 64, Argument(0, 48), 512) : null;
        var graph = random?.Graph ?? ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures"))
            .Resolve(folder!.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        var (layers, hiddenSize) = (graph.LayerCount, graph.HiddenSize);
        const int Rows = 8, Length = 256;
        using var model = DecoderModel.Open(graph, random ?? (ITensorSource)new FolderTensorSource(folder!), CPU);
        using var hidden = new HiddenStates(Rows, Length, hiddenSize);
        using (var ids = randint(512, [Rows, Length]))
        using (var embedded = model.Embed(ids))
            hidden.Store(0, embedded);
        model.ReleaseEmbedding();
        var settings = new AwqSettings { GroupSize = 64 };
        var batch = new MicroBatch(8, "hidden.spill", (_, text) => Console.Error.WriteLine(text));
        var resident = new List<double>();
        for (var i = 0; i < layers; i++)
        {
            using (var layer = model.LoadLayer(i))
                new LayerQuantizer(layer, hidden, settings, ModuleSelection.StayFloat(layer.Graph, 64, []), batch, default).Run();
            GC.Collect();
            NativeHeap.Trim();
            using var process = Process.GetCurrentProcess();
            resident.Add(process.WorkingSet64 / 1e6);
            if (i is 0 or 1 || (i + 1) % 8 == 0)
                Console.WriteLine($"after layer {i + 1,2}: resident {resident[^1]:F0} MB, peak {process.PeakWorkingSet64 / 1e6:F0} MB");
        }
        var weights = graph.Layers[0].Linears.Sum(l => 4.0 * l.In * l.Out) / 1e6;
        var grams = graph.Layers[0].Linears.GroupBy(l => l.Site).Sum(s => 4.0 * s.First().In * s.First().In) / 1e6;
        var bound = 2 * weights + grams + 4.0 * Rows * Length * hiddenSize / 1e6 + 1000;
        using var end = Process.GetCurrentProcess();
        Console.WriteLine($"growth_per_layer_mb={(resident[^1] - resident[1]) / (layers - 2):F2}");
        Console.WriteLine($"peak_mb={end.PeakWorkingSet64 / 1e6:F0} bound_mb={bound:F0} (twice a layer in float32, {weights:F0}, Gram matrices, {grams:F0}, hidden states, and 1 GB)");
        return 0;
    }
}
