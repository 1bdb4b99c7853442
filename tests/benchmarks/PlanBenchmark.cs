using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Benchmarks;

/// <summary>What the plan predicts of a run against what it then takes; one run per process, for memory is that of the process.</summary>
internal static class PlanBenchmark
{
    /// <summary>plan MODEL [--rows N] [--length N] [--group N] [--limit BYTES] [--data FILE] [--no-calibration] [--every-expert]</summary>
    public static int Run(string[] args)
    {
        string? Option(string name) => Array.IndexOf(args, name) is var i and >= 0 ? args[i + 1] : null;
        var output = Path.Combine(Path.GetTempPath(), $"awq-plan-{Environment.ProcessId}");
        var tokens = Path.Combine(args[0], GeneratedFolder.Tokens);
        var options = new QuantizationOptions
        {
            ModelPath = Path.GetFullPath(args[0]), ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = output, ForceCpu = true,
            GroupSize = int.Parse(Option("--group") ?? "128"), NoCalibration = args.Contains("--no-calibration"), CalibrateEveryExpert = args.Contains("--every-expert"),
            SampleCount = int.Parse(Option("--rows") ?? "8"), SequenceLength = int.Parse(Option("--length") ?? "256"),
            MemoryLimit = Option("--limit") is { } limit ? long.Parse(limit) : null,
            CalibrationData = args.Contains("--no-calibration") ? [] : Option("--data") is { } data ? [data] : File.Exists(tokens) ? [tokens] : [],
        };
        var observer = new Listener();
        try
        {
            AwqQuantize.Engine.Compute.TorchRuntime.EnsureLoaded();
            var plan = QuantizationRun.Plan(options, observer, default);
            var result = QuantizationRun.Execute(options, observer, default);
            Console.WriteLine($"memory: predicted {plan.PeakMemory / 1e6:F0} MB, measured {result.PeakMemory / 1e6:F0} MB, ratio {(double)plan.PeakMemory / result.PeakMemory:F2} (hidden states on disk: {plan.HiddenStatesOnDisk}, {plan.Batching})");
            Console.WriteLine($"time: predicted {plan.Duration!.Value.TotalSeconds:F1} s, measured {result.Duration.TotalSeconds:F1} s, ratio {plan.Duration.Value / result.Duration:F2}");
            Console.WriteLine($"  {plan.Speed}: matrix {plan.Work.Matrix / plan.Speed!.MatrixRate:F1} s, fits {plan.Work.Fits / plan.Speed.FitRate:F1} s, forward {plan.Work.Forward / plan.Speed.MatrixRate:F1} s, bytes {plan.Work.Bytes / 1e6:F0} MB");
            foreach (var stage in result.Layers.SelectMany(l => l.Seconds).GroupBy(s => s.Key))
                Console.WriteLine($"  {stage.Key,-12} {stage.Sum(s => s.Value):F1} s");
            Console.WriteLine("time left as told: " + string.Join(", ", observer.Told));
        }
        finally
        {
            if (Directory.Exists(output))
                Directory.Delete(output, recursive: true);
        }
        return 0;
    }

    private sealed class Listener : IRunObserver
    {
        private readonly System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
        private int last = -1;

        public List<string> Told { get; } = [];

        public void Progress(RunProgress progress)
        {
            var tenth = (int)(progress.Fraction * 10);
            if (tenth == last || progress.Remaining is not { } left)
                return;
            last = tenth;
            Told.Add($"{clock.Elapsed.TotalSeconds:F0}+{left.TotalSeconds:F0}");
        }

        public void Warning(string id, string message)
        {
        }

        public void Decision(string message) => Console.WriteLine(message);
    }
}
