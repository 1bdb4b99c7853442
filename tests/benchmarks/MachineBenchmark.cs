using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Benchmarks;

/// <summary>What this machine's matrix kernels reach, to hold the other figures against.</summary>
internal static class MachineBenchmark
{
    public static int Run(string[] args)
    {
        foreach (var model in args)
        {
            // As a run measures it, in a process that has just begun.
            using var folder = ModelFolder.Open(model);
            var graph = ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures")).Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
            Console.WriteLine(MachineSpeed.Measure(ComputeDevice.Host, graph, 512));
        }
        Console.WriteLine($"threads={get_num_threads()} processors={Environment.ProcessorCount}");
        foreach (var (m, k, n) in new[] { (2048, 576, 576), (2048, 576, 1536), (2048, 1536, 576), (2048, 4096, 4096), (512, 2048, 512), (1536, 2048, 1536), (384, 1536, 128), (4096, 4096, 128) })
        {
            using var scope = NewDisposeScope();
            var (a, b, w) = (randn(m, k), randn(k, n), randn(n, k));
            Console.WriteLine($"[{m} x {k}] x [{k} x {n}]: mm {Rate(() => a.mm(b)):F1}, linear {Rate(() => nn.functional.linear(a, w)):F1} GFLOP/s");

            double Rate(Func<Tensor> work)
            {
                work().Dispose();
                var clock = Stopwatch.StartNew();
                var runs = 0;
                for (; clock.ElapsedMilliseconds < 400; runs++)
                    work().Dispose();
                return 2.0 * m * k * n * runs / clock.Elapsed.TotalSeconds / 1e9;
            }
        }
        return 0;
    }
}
