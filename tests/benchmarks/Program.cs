using AwqQuantize.Benchmarks;
using AwqQuantize.Engine.Compute;

if (args is not [var name, ..] || !Commands.TryGetValue(name, out var run))
{
    return Usage();
}

if (name != "device" && !name.StartsWith("tokenizer", StringComparison.Ordinal)) // which libtorch is the user's choice there
{
    TorchRuntime.EnsureLoaded();
}

return run(args[1..]);

static int Usage()
{
    Console.Error.WriteLine($"usage: dotnet run -c Release --project tests/benchmarks -- {string.Join(" | ", Commands.Keys)} [arguments]");
    return 1;
}

internal static partial class Program
{
    private static readonly Dictionary<string, Func<string[], int>> Commands = new()
    {
        ["engine"] = EngineBenchmark.Run,
        ["device"] = DeviceBenchmark.Run,
        ["memory"] = MemoryBenchmark.Run,
        ["plan"] = PlanBenchmark.Run,
        ["plain"] = PlainBenchmark.Run,
        ["machine"] = MachineBenchmark.Run,
        ["quality"] = QualityBenchmark.Run,
        ["generate"] = args =>
        {
            var n = args[1..].Where(a => a != "--latent").Select(int.Parse).ToArray();
            GeneratedFolder.Write(args[0], n[0], n[1], n[2], n[3], n[4], n[5], n.Length > 6 ? n[6] : 0, n.Length > 7 ? n[7] : 0, args.Contains("--latent"));
            return 0;
        },
        ["tokenizer"] = TokenizerBenchmark.Run,
        ["maximum"] = MaximumBenchmark.Run,
        ["tuning"] = TuningBenchmark.Run,
        ["tokenizer-load"] = TokenizerLoadBenchmark.Run,
    };
}
