using System.Diagnostics;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Benchmarks;

/// <summary>
/// Plain rounding against what the disk alone would take: reading the model once (<c>cat model.safetensors &gt; /dev/null</c>) and writing
/// as many bytes as the result has.
/// </summary>
internal static class PlainBenchmark
{
    /// <summary>plain [MODEL] [--layers N] [--times N]; without a model one of Llama's shape with hidden 2048 is generated, 90 MB a layer.</summary>
    public static int Run(string[] args)
    {
        string? Option(string name) => Array.IndexOf(args, name) is var i and >= 0 ? args[i + 1] : null;
        var times = int.Parse(Option("--times") ?? "3");
        var work = Directory.CreateTempSubdirectory("awq-plain-").FullName;
        try
        {
            var model = args.Length > 0 && !args[0].StartsWith('-') ? Path.GetFullPath(args[0]) : Path.Combine(work, "model");
            if (!Directory.Exists(model))
                GeneratedFolder.Write(model, 2048, 5632, 16, 4, int.Parse(Option("--layers") ?? "16"), 32000);
            var files = Directory.GetFiles(model, "model*.safetensors");
            var output = Path.Combine(work, "out");
            var options = new QuantizationOptions { ModelPath = model, ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = output, NoCalibration = true, Force = true };
            Shell($"cat {string.Join(' ', files)} > /dev/null");
            var quantise = Enumerable.Range(0, times).Select(_ => Seconds(() => QuantizationRun.Execute(options, new Silent(), default))).ToList();
            var written = Directory.GetFiles(output, "model*.safetensors").Sum(f => new FileInfo(f).Length);
            var read = Enumerable.Range(0, times).Min(_ => Seconds(() => Shell($"cat {string.Join(' ', files)} > /dev/null")));
            var buffered = Enumerable.Range(0, times).Min(_ => Seconds(() => Write(Path.Combine(work, "bytes"), written, flush: false)));
            var flushed = Enumerable.Range(0, times).Min(_ => Seconds(() => Write(Path.Combine(work, "bytes"), written, flush: true)));
            Console.WriteLine($"{files.Sum(f => new FileInfo(f).Length) / 1e6:F0} MB read, {written / 1e6:F0} MB written, {Environment.ProcessorCount} cores");
            Console.WriteLine($"cat {read:F2} s, writing {buffered:F2} s, {flushed:F2} s with a flush to the disk");
            Console.WriteLine($"plain rounding: {string.Join(", ", quantise.Select(s => $"{s:F2}"))} s (the first with the compiler's time)");
            Console.WriteLine($"plain_speed={(read + flushed) / quantise.Min():F2} (of cat and writing with a flush, which the run does as well; {(read + buffered) / quantise.Min():F2} without)");
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
        return 0;
    }

    private static double Seconds(Action work)
    {
        var clock = Stopwatch.StartNew();
        work();
        return clock.Elapsed.TotalSeconds;
    }

    private static void Shell(string command)
    {
        using var process = Process.Start("/bin/sh", ["-c", command]);
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"'{command}' failed.");
    }

    private static void Write(string path, long bytes, bool flush)
    {
        var buffer = new byte[1 << 20];
        using (var stream = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0))
        {
            for (var left = bytes; left > 0; left -= buffer.Length)
                stream.Write(buffer, 0, (int)Math.Min(left, buffer.Length));
            if (flush)
                stream.Flush(flushToDisk: true);
        }
        File.Delete(path);
    }

    private sealed class Silent : IRunObserver
    {
        public void Progress(RunProgress progress)
        {
        }

        public void Warning(string id, string message)
        {
        }

        public void Decision(string message)
        {
        }
    }
}
