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
            // The compiler's time is not meant.
            QuantizationRun.Execute(options, new Silent(), default);
            var content = Directory.GetFiles(output, "model*.safetensors").Select(File.ReadAllBytes).ToList();
            List<double> rounding = [], reading = [], writing = [];
            var cpu = Cpu();
            // In turn, for disks have their moods; the same bytes, for some know zeros.
            for (var i = 0; i < times; i++)
            {
                var before = Cpu();
                rounding.Add(Seconds(() => QuantizationRun.Execute(options, new Silent(), default)));
                cpu = Math.Min(i == 0 ? double.MaxValue : cpu, Cpu() - before);
                reading.Add(Seconds(() => Shell($"cat {string.Join(' ', files)} > /dev/null")));
                writing.Add(Seconds(() => Write(Path.Combine(work, "bytes"), content)));
            }
            static string All(List<double> seconds) => string.Join(", ", seconds.Select(s => $"{s:F2}"));
            Console.WriteLine($"{files.Sum(f => new FileInfo(f).Length) / 1e6:F0} MB read, {content.Sum(c => c.LongLength) / 1e6:F0} MB written, {Environment.ProcessorCount} cores");
            Console.WriteLine($"cat {All(reading)} s; writing with a flush to the disk, as the run does, {All(writing)} s");
            Console.WriteLine($"plain rounding {All(rounding)} s; processor time {cpu:F2} s");
            Console.WriteLine($"plain_speed={(reading.Sum() + writing.Sum()) / rounding.Sum():F2}");
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

    private static double Cpu()
    {
        using var process = Process.GetCurrentProcess();
        return process.TotalProcessorTime.TotalSeconds;
    }

    private static void Write(string path, List<byte[]> content)
    {
        using (var stream = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0))
        {
            foreach (var bytes in content)
                for (var start = 0; start < bytes.Length; start += 1 << 20)
                    stream.Write(bytes, start, Math.Min(1 << 20, bytes.Length - start));
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
