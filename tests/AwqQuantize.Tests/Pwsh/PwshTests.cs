using System.Diagnostics;

namespace AwqQuantize.Tests.Pwsh;

/// <summary>What concerns the whole process: signals, exit codes, and the image's entry script in front of pwsh.</summary>
public sealed class PwshTests
{
    private const string Options = "-GroupSize 32 -SampleCount 16 -SequenceLength 128";

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    [InlineData("KILL")]
    public void ARunThatASignalEndsGoesOnToTheSameBytes(string signal)
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("signals of Unix");
        using var copies = new ModelCopy("stopped", "whole");
        var run = PwshProcess.StartWithSignals($"Invoke-AwqQuantization '{copies["stopped"]}' {Options} 3> $null");
        var part = Path.Combine(copies["stopped"], "AWQ-4bit.awq-run", "layer-00000.safetensors");
        var limit = Stopwatch.StartNew();
        while (!File.Exists(part) && !run.HasExited && limit.Elapsed < TimeSpan.FromMinutes(2))
            Thread.Sleep(5);
        using (var kill = Process.Start("kill", ["-" + signal, run.Id.ToString()]))
            kill.WaitForExit();
        var ended = ProcessResult.Of(run);
        Assert.NotEqual(0, ended.ExitCode);
        Assert.False(Directory.Exists(Path.Combine(copies["stopped"], "AWQ-4bit")), ended.Output);

        var resumed = PwshProcess.Run($"'{copies["stopped"]}', '{copies["whole"]}' | Invoke-AwqQuantization -Resume {Options} -Verbose 3> $null");
        Assert.True(resumed.ExitCode == 0, resumed.Error);
        Assert.Contains("An earlier run is taken up at layer", resumed.Output);
        Assert.Equal(Bytes(copies["whole"]), Bytes(copies["stopped"]));
    }

    [Fact]
    public void TheEntryScriptGivesPwshWhatWasMeant()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Skip("The image is for Linux.");
        using var copies = new ModelCopy("it's $HOME [x], 1");
        var model = copies["it's $HOME [x], 1"];
        var bin = Directory.CreateDirectory(copies["bin"]).FullName;
        File.WriteAllText(Path.Combine(bin, "pwsh"), $"#!/bin/sh\nexec dotnet '{PwshProcess.Assembly}' \"$@\"\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(Path.Combine(bin, "pwsh"), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        ProcessResult Entry(params string[] arguments) =>
            ProcessResult.Of(PwshProcess.Start("/bin/sh", [Path.Combine(StagedModule.Repository, "docker", "entrypoint.sh"), .. arguments], bin));

        var run = Entry("Invoke-AwqQuantization", model, "-NoCalibration", "-GroupSize", "32", "-ExcludeModule", "layers.0.,layers.1.mlp", "-Confirm:$false");
        Assert.True(run.ExitCode == 0, run.Error);
        // The whole path, though nothing says how wide the output is, and nothing of a terminal.
        Assert.Contains(Path.Combine(model, "AWQ-4bit"), run.Output);
        Assert.DoesNotContain("\u001b", run.Output + run.Error);

        var checks = Entry("-Command", $"(Get-AwqModel -LiteralPath '{model.Replace("'", "''")}/AWQ-4bit').Quantization; exit 6");
        Assert.Equal((6, "awq\n"), (checks.ExitCode, checks.Output));
        var error = Entry("Get-AwqModel", "/nowhere");
        Assert.Equal(1, error.ExitCode);
        Assert.Contains("There is no folder '/nowhere'", error.Error);
    }

    private static byte[] Bytes(string model) => File.ReadAllBytes(Path.Combine(model, "AWQ-4bit", "model.safetensors"));
}
