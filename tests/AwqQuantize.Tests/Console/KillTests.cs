using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;

namespace AwqQuantize.Tests.Console;

/// <summary>A run is killed without warning, as often and whenever it may be, and always goes on to the same bytes.</summary>
[Trait("Category", "Kill")]
public sealed class KillTests(ITestOutputHelper output) : IDisposable
{
    private const int Lanes = 2;

    // A slow machine may be asked for fewer.
    private static readonly int Kills = int.Parse(Environment.GetEnvironmentVariable("AWQ_KILLS") ?? "100", CultureInfo.InvariantCulture);

    private readonly ModelCopy copy = new("m");

    public void Dispose() => copy.Dispose();

    [Fact]
    public async Task KilledAtAHundredRandomMomentsARunGoesOnAndEndsWithTheSameBytes()
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("SIGKILL is a signal of Unix");
        // What one undisturbed run makes, and how long it takes once it has begun.
        using var whole = Start("whole");
        Assert.True(Begin(whole));
        var clock = Stopwatch.StartNew();
        var ended = ConsoleProcess.Finish(whole);
        Assert.True(ended.ExitCode == 0, ended.Error);
        var (expected, duration) = (Hash("whole"), clock.Elapsed);

        var lanes = await Task.WhenAll(Enumerable.Range(0, Lanes).Select(lane => Task.Run(() => Lane(lane, expected, duration))));
        var (kills, resumed, finished) = (lanes.Sum(l => l.Kills), lanes.Sum(l => l.Resumed), lanes.Sum(l => l.Finished));
        output.WriteLine($"{kills} kills, {resumed} runs taken up at a later layer, {finished} ended; an undisturbed run takes {duration.TotalSeconds:F2} s");
        Assert.Equal(Kills / Lanes * Lanes, kills);
        Assert.True(resumed >= Kills / 20, $"only {resumed} of the runs found a finished layer");
    }

    private sealed record Tally(int Kills, int Resumed, int Finished);

    /// <summary>Kills runs to one destination; one that ends all the same is compared, and the next begins anew.</summary>
    private Tally Lane(int lane, string expected, TimeSpan duration)
    {
        var random = new Random(lane);
        var name = $"lane{lane}";
        var (kills, resumed, finished) = (0, 0, 0);
        while (true)
        {
            using var process = Start(name);
            var begun = Begin(process);
            if (begun && File.Exists(Path.Combine(copy[name + ".awq-run"], "layer-00000.safetensors")))
                resumed++;
            if (kills < Kills / Lanes && begun && !process.WaitForExit(duration * (1.2 * random.NextDouble())))
            {
                process.Kill();
                process.WaitForExit();
                if (process.ExitCode != 0)
                    kills++;
                // Also when the destination stands already: the same command then leaves nothing behind.
                if (!Directory.Exists(copy[name]) || Directory.Exists(copy[name + ".awq-run"]))
                    continue;
            }
            else
            {
                var ended = ConsoleProcess.Finish(process);
                Assert.True(ended.ExitCode == 0, ended.Error);
            }
            Assert.Equal(expected, Hash(name));
            Assert.False(Directory.Exists(copy[name + ".awq-run"]));
            finished++;
            Directory.Delete(copy[name], recursive: true);
            if (kills == Kills / Lanes)
                return new Tally(kills, resumed, finished);
        }
    }

    private Process Start(string name) => ConsoleProcess.Start(copy.Root, "-Command",
        $"Invoke-AwqQuantization m -OutputPath {name} -ForceCpu -GroupSize 64 -SampleCount 4 -SequenceLength 64 -CalibrationData '{Path.Combine(StagedModule.Repository, "module", "Calibration", "narrative.txt")}' -Verbose -WarningAction SilentlyContinue");

    /// <summary>Waits until the run's folder is opened. False where the process ended before.</summary>
    private static bool Begin(Process process)
    {
        while (process.StandardError.ReadLine() is { } line)
            if (line.Contains(" linears to 4 bits", StringComparison.Ordinal))
                return true;
        return false;
    }

    private string Hash(string name) => string.Join('\n', Directory.GetFiles(copy[name]).Order(StringComparer.Ordinal)
        .Select(f => $"{Path.GetFileName(f)} {Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(f)))}"));
}
