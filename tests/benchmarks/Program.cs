using AwqQuantize.Benchmarks;
using AwqQuantize.Engine.Compute;

if (args is not [var name, ..] || !Commands.TryGetValue(name, out var run))
{
    return Usage();
}

if (!name.StartsWith("tokenizer", StringComparison.Ordinal))
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
        ["memory"] = MemoryBenchmark.Run,
        ["machine"] = MachineBenchmark.Run,
        ["quality"] = QualityBenchmark.Run,
        ["tokenizer"] = TokenizerBenchmark.Run,
        ["tokenizer-load"] = TokenizerLoadBenchmark.Run,
    };
}
