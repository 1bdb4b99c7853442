using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>A run in a process of its own (tests/RunHost), which can be killed, or be given too little memory.</summary>
internal sealed class RunProcess : IDisposable
{
    /// <summary>The program, built by tests/RunHost.</summary>
    public static readonly string Host = typeof(RunProcess).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "RunHost").Value!
        + (OperatingSystem.IsWindows() ? ".exe" : "");

    private readonly Process process;
    private readonly BlockingCollection<string> lines = [];
    private readonly List<string> seen = [];
    private readonly Stopwatch clock = Stopwatch.StartNew();

    /// <param name="options">The run's.</param>
    /// <param name="variables">Environment variables.</param>
    /// <param name="shell">A command of the shell that comes before it, such as <c>ulimit -v 1000000</c>.</param>
    public RunProcess(QuantizationOptions options, IReadOnlyDictionary<string, string>? variables = null, string? shell = null)
    {
        var argument = JsonSerializer.Serialize(new
        {
            options.ModelPath, options.ModuleRoot, options.OutputPath, options.ForceCpu, options.GroupSize, options.SampleCount, options.SequenceLength,
            options.CalibrationData, options.MaxQuality, options.TuningSteps, options.NoCalibration, options.MemoryLimit, options.Rounding, options.ExcludeModule, options.Force,
        });
        var start = shell is null ? new ProcessStartInfo(Host, [argument]) : new ProcessStartInfo("/bin/sh", ["-c", $"{shell}; exec \"$0\" \"$1\"", Host, argument]);
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        // Several side by side, each on a little model: one thread each.
        (start.Environment["OMP_NUM_THREADS"], start.Environment["DOTNET_TieredPGO"]) = ("1", "0");
        foreach (var (name, value) in variables ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        process = Process.Start(start)!;
        var both = new CountdownEvent(2);
        process.OutputDataReceived += (_, e) => Take(e.Data);
        process.ErrorDataReceived += (_, e) => Take(e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();

        void Take(string? line)
        {
            if (line is not null)
                lines.Add(line);
            else if (both.Signal())
                lines.CompleteAdding();
        }
    }

    /// <summary>Time since it was started.</summary>
    public TimeSpan Age => clock.Elapsed;

    /// <summary>What it has said so far.</summary>
    public string Said => string.Join('\n', seen);

    /// <summary>Waits for a line that begins like this. False where the process ended without.</summary>
    public bool Await(string beginning)
    {
        foreach (var line in lines.GetConsumingEnumerable())
        {
            seen.Add(line);
            if (line.StartsWith(beginning, StringComparison.Ordinal))
                return true;
        }
        return false;
    }

    /// <summary>How many lines that were.</summary>
    public int Lines => seen.Count;

    /// <summary>Waits until it has said so many lines. False where it ended before.</summary>
    public bool AwaitLines(int count)
    {
        while (seen.Count < count && lines.TryTake(out var line, Timeout.Infinite))
            seen.Add(line);
        return seen.Count >= count;
    }

    /// <summary>Waits, then kills it without warning. False where it had ended by itself.</summary>
    public bool KillAfter(TimeSpan delay)
    {
        if (process.WaitForExit(delay))
            return false;
        process.Kill();
        process.WaitForExit();
        Await("the end");
        return process.ExitCode == 128 + 9;
    }

    /// <summary>Waits for its end.</summary>
    public int Finish()
    {
        Await("the end");
        process.WaitForExit();
        return process.ExitCode;
    }

    public void Dispose()
    {
        if (!process.HasExited)
            process.Kill();
        process.Dispose();
        lines.Dispose();
    }
}
