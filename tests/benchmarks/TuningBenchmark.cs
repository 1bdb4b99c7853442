using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Tokenization;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Benchmarks;

/// <summary>What end-to-end tuning of a finished checkpoint brings on held-out rows, and what a step takes.</summary>
internal static class TuningBenchmark
{
    /// <summary>tuning MODEL CHECKPOINT TEXT ROWS LENGTH [SETTING=VALUE…]</summary>
    public static int Run(string[] args)
    {
        var catalog = ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures"));
        using var teacher = ModelSource.Open(args[0], catalog);
        using var student = ModelSource.Open(args[1], catalog);
        var ids = TextTokenizer.Load(args[0]).Encode(File.ReadAllText(args[2])[..^60000], false);
        var rows = TokenRows.From([ids], null, int.Parse(args[4]), int.Parse(args[3]));
        var settings = new TuningSettings();
        foreach (var pair in args[5..].Select(a => a.Split('=')))
        {
            var property = typeof(TuningSettings).GetProperty(pair[0])!;
            property.SetValue(settings, Convert.ChangeType(pair[1], property.PropertyType, System.Globalization.CultureInfo.InvariantCulture));
        }
        var folder = Directory.CreateTempSubdirectory("awq-tuning-");
        try
        {
            var (clock, last) = (Stopwatch.StartNew(), "");
            var outcome = EndToEndTuning.Run(teacher.Graph, teacher.Tensors, student, rows, settings, new TuningFiles(folder.FullName, Directory.GetFiles(args[1] + ".awq-run", "residuals-*")), (_, text) => Console.Error.WriteLine(text),
                (detail, _) => { if (detail != last) Console.Error.WriteLine(last = detail); });
            Console.WriteLine($"{outcome} {outcome.KlAfter / outcome.KlBefore:F3} of before, {clock.Elapsed.TotalSeconds:F1} s, peak {Process.GetCurrentProcess().PeakWorkingSet64 >> 20} MB");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
        return 0;
    }
}
