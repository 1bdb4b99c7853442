using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tokenization;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Benchmarks;

/// <summary>What end-to-end tuning of a finished checkpoint brings on held-out rows, and what a step takes.</summary>
internal static class TuningBenchmark
{
    /// <summary>tuning MODEL CHECKPOINT TEXT ROWS LENGTH [SETTING=VALUE…] [--device NAME] [--torch PATH] [--evaluate TEXT]</summary>
    public static int Run(string[] args)
    {
        string? Option(string name) => Array.IndexOf(args, name) is var i and >= 0 ? args[i + 1] : null;
        if (Option("--torch") is { } path)
            TorchRuntime.Use(Path.GetFullPath(path));
        TorchRuntime.EnsureLoaded();
        var device = Devices.ChooseAll(Option("--device") ?? "cpu", forceCpu: false)[0];
        var catalog = ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures"));
        using var teacher = ModelSource.Open(args[0], catalog);
        using var student = ModelSource.Open(args[1], catalog);
        var ids = TextTokenizer.Load(args[0]).Encode(File.ReadAllText(args[2])[..^60000], false);
        var rows = TokenRows.From([ids], null, int.Parse(args[4]), int.Parse(args[3]));
        var settings = new TuningSettings();
        foreach (var pair in args[5..].TakeWhile(a => !a.StartsWith("--", StringComparison.Ordinal)).Select(a => a.Split('=')))
        {
            var property = typeof(TuningSettings).GetProperty(pair[0])!;
            property.SetValue(settings, Convert.ChangeType(pair[1], property.PropertyType, System.Globalization.CultureInfo.InvariantCulture));
        }
        // Where a run was stopped after its layers, it still says how close the decision for each code was.
        string[] residuals = Directory.Exists(args[1] + ".awq-run") ? Directory.GetFiles(args[1] + ".awq-run", "residuals-*") : [];
        var folder = Directory.CreateTempSubdirectory("awq-tuning-");
        try
        {
            var predicted = Predicted(teacher.Graph, student.Quantization!.GroupSize, settings, rows, device);
            var files = new TuningFiles(folder.FullName, residuals);
            var (clock, last) = (Stopwatch.StartNew(), "");
            var outcome = EndToEndTuning.Run(teacher.Graph, teacher.Tensors, student, rows, settings, files, (_, text) => Console.Error.WriteLine(text),
                (detail, _) =>
                {
                    if (detail != last)
                        Console.Error.WriteLine($"{last = detail} ({clock.Elapsed.TotalSeconds:F1} s, {ProcessMemory.Resident / 1e6:F0} MB)");
                }, device: device);
            Console.WriteLine($"{outcome} {outcome.KlAfter / outcome.KlBefore:F3} of before, {clock.Elapsed.TotalSeconds:F1} s (predicted {predicted.Seconds:F1}), peak {Process.GetCurrentProcess().PeakWorkingSet64 / 1e6:F0} MB (predicted {predicted.Bytes / 1e6:F0}), {device} {device.PeakMemory / 1e6:F0} MB");
            var tuned = outcome.BestStep > 0 ? Assembled(args[1], files.Best, folder.FullName) : args[1];
            foreach (var text in Option("--evaluate")?.Split(',') ?? [])
                Console.WriteLine($"on {text}: {Kl(args[0], args[1], text, device):F5} before, {Kl(args[0], tuned, text, device):F5} after");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
        return 0;
    }

    /// <summary>The checkpoint with what was tuned.</summary>
    private static string Assembled(string checkpoint, string replacements, string under)
    {
        var folder = Directory.CreateDirectory(Path.Combine(under, "tuned")).FullName;
        CheckpointAssembler.Assemble(Directory.GetFiles(checkpoint, "*.safetensors"), folder, replacements: replacements);
        foreach (var file in Directory.GetFiles(checkpoint).Where(f => !f.Contains(".safetensors", StringComparison.Ordinal)))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        return folder;
    }

    private static double Kl(string model, string checkpoint, string text, ComputeDevice device)
    {
        var catalog = ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures"));
        using var made = ModelSource.Open(checkpoint, catalog);
        using var source = ModelSource.Open(model, catalog);
        return ModelMeasurement.Run(made, source, new MeasurementOptions { Texts = [text], Context = Math.Min(1024, source.Graph.MaxPositions), MaximumTokens = 16384, Device = device.Name }).Overall.KlDivergence!.Value;
    }

    /// <summary>As the plan of a run that ends with this tuning has it.</summary>
    private static (double Seconds, double Bytes) Predicted(ModelGraph graph, int groupSize, TuningSettings settings, TokenRows rows, ComputeDevice device)
    {
        var none = new Dictionary<string, string>();
        var speed = MachineSpeed.Measure(device, graph, rows.Length);
        var forward = graph.Layers.Sum(l => WorkEstimate.Of(l, none, new AwqSettings { GroupSize = groupSize }, rows.Tokens, rows.Length, speed.Layer?.Forward).Forward) / rows.Tokens;
        var plan = TuningPlan.Make(graph, settings, groupSize, forward, rows.Tokens, graph.Layers.Sum(l => l.Linears.Sum(x => (long)x.In * x.Out)), !device.IsHost);
        return (plan.Work.Seconds(speed), plan.MemoryBytes + MemoryEstimate.FreshProcess);
    }
}
