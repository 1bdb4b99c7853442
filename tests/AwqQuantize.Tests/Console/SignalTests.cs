using System.Diagnostics;

namespace AwqQuantize.Tests.Console;

public sealed class SignalTests
{
    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    public void ASignalStopsTheRunAndLeavesNoDestination(string signal, int exitCode)
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("signals of Unix");
        using var copy = new ModelCopy("m");
        var process = ConsoleProcess.Start(copy.Root, "Invoke-AwqQuantization", "m", "-SampleCount", "64", "-SequenceLength", "512", "-OutputPath", "out");
        // The run has begun when its folder stands beside the destination.
        var limit = Stopwatch.StartNew();
        while (Directory.GetDirectories(copy.Root).Length == 1 && !process.HasExited && limit.Elapsed < TimeSpan.FromMinutes(2))
            Thread.Sleep(20);
        Assert.False(process.HasExited);
        using (var kill = Process.Start("kill", ["-" + signal, process.Id.ToString()]))
            kill.WaitForExit();
        var watch = Stopwatch.StartNew();
        var ended = ProcessResult.Of(process);
        Assert.True(ended.ExitCode == exitCode, $"{ended.ExitCode}: {ended.Error}");
        // A second for the pipeline, and some for a process on a busy machine to go.
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 10);
        Assert.False(Directory.Exists(copy["out"]));
        Assert.DoesNotContain("   at ", ended.Error);
    }
}
