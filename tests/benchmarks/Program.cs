using AwqQuantize.Benchmarks;
using AwqQuantize.Engine.Compute;

TorchRuntime.EnsureLoaded();
return args is [var name, ..] && Commands.TryGetValue(name, out var run) ? run(args[1..]) : Usage();

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
        ["memory"] = MemoryBenchmark.Run,
        ["machine"] = MachineBenchmark.Run,
        ["quality"] = QualityBenchmark.Run,
        ["tokenizer"] = TokenizerBenchmark.Run,
        ["tuning"] = TuningBenchmark.Run,
    };
}
