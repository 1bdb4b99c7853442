using System.Diagnostics;

namespace AwqQuantize.Engine.Tests.Fleet;

/// <summary>The shell scripts of docker/, with a stand-in for what they start.</summary>
public sealed class ScriptTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public ScriptTests()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Skip("The scripts of docker/ run on Linux.");
    }

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("Path\r\n/m/a\r\n/m/b\r\n", 2, "/m/b")]
    [InlineData("\"Name\",\"Path\",\"Size\"\n\"x, y\",\"/m/with, comma\",\"1\"\n", 1, "/m/with, comma")]
    [InlineData("#TYPE AwqModelInfo\n\"Path\"\n\"/m/a \"\"quoted\"\" b\"\n", 1, "/m/a \"quoted\" b")]
    [InlineData("\uFEFF\"Path\",\"Name\"\n\n\"/m/a\",\"a\"\n\n\"/m/b\",\"b\"\n", 2, "/m/b")]
    [InlineData("/m/a\n\n/m/b, c\n", 2, "/m/b, c")]
    [InlineData("/m/only", 1, "/m/only")]
    public void ATaskTakesItsModelFromTheList(string list, int number, string expected)
    {
        var (status, output) = Task(folder.Write("list", list), number, "-GroupSize", "64");
        Assert.Equal(0, status);
        Assert.EndsWith($"<Invoke-AwqQuantization><-LiteralPath><{expected}><-Resume><-Verbose><-GroupSize><64>\n", output, StringComparison.Ordinal);
    }

    [Fact]
    public void AnAnswerToHowMuchIsSaidIsNotDoubled() =>
        Assert.EndsWith("<-Resume><-verbose:$false>\n", Task(folder.Write("list", "/m/a\n"), 1, "-verbose:$false").Output, StringComparison.Ordinal);

    [Theory]
    [InlineData("Path\n/m/a\n", 2)]
    [InlineData("", 1)]
    public void ANumberThatTheListLacksEndsWithTwo(string list, int number) => Assert.Equal(2, Task(folder.Write("list", list), number).Status);

    [Fact]
    public void AFinishedModelIsLeftAlone()
    {
        folder.Write("model/AWQ-4bit/config.json", "{}");
        var list = folder.Write("list", folder.File("model"));
        Assert.Equal((0, $"{folder.File("model")} is finished.\n"), Task(list, 1));
        Assert.Contains("<-MaxQuality>", Task(list, 1, "-MaxQuality").Output, StringComparison.Ordinal);
    }

    [Fact]
    public void TheEntryScriptHandsArgumentsToPwshAsTheyWereMeant()
    {
        var home = Image();
        StandIn("bin/pwsh");
        folder.Write("a,b", "a file with a comma in its name");
        var output = Run(home + "/entrypoint.sh", ["Invoke-AwqQuantization", "/models/it's $HOME", "-GroupSize", "64", "-ExcludeModule", "lm_head,mlp.gate",
            "-CalibrationData", folder.File("a,b"), "-OutputPath:/a b; c", "-5", "-x;y", "-", "", "-Confirm:$false"], folder.File("bin")).Output;
        Assert.Equal("<-NoLogo><-NoProfile><-NonInteractive><-Command><Import-Module AwqQuantize; & 'Invoke-AwqQuantization' '/models/it''s $HOME' -GroupSize '64' "
            + $"-ExcludeModule 'lm_head','mlp.gate' -CalibrationData '{folder.File("a,b")}' -OutputPath:'/a b; c' '-5' '-x;y' '-' '' -Confirm:$false"
            + " | Out-String -Stream -Width 1000>\n", output);
        Assert.Equal("<-NoLogo><-NoExit><-Command><Import-Module AwqQuantize>\n", Run(home + "/entrypoint.sh", [], folder.File("bin")).Output);
        Assert.Equal("<-NoLogo><-NoProfile><-NonInteractive><-Command><1, 2>\n", Run(home + "/entrypoint.sh", ["-Command", "1, 2"], folder.File("bin")).Output);
    }

    [Fact]
    public void WithoutPwshTheConsoleHostTakesItsPlace()
    {
        var home = Image();
        StandIn("bin/dotnet");
        var output = Run(home + "/entrypoint.sh", ["Get-AwqModel", "/models/a b"], folder.File("bin")).Output;
        Assert.Equal($"<{home}/console/AwqQuantize.Console.dll><Get-AwqModel></models/a b>\n", output);
        Assert.Contains("docker run", Run(home + "/entrypoint.sh", [], folder.File("bin")).Output, StringComparison.Ordinal);
        Assert.Equal("hello\n", Run(home + "/entrypoint.sh", ["sh", "-c", "echo hello"], folder.File("bin")).Output);
    }

    /// <summary>The kernel gives the first process of a container no signal that it has no handler for.</summary>
    [Theory]
    [InlineData("TERM", 143)]
    [InlineData("INT", 130)]
    public void AsTheFirstProcessOfAContainerItPassesSignalsOnAndKeepsInputAndExitCode(string signal, int expected)
    {
        var script = Path.Combine(Image(), "entrypoint.sh");
        string[] contained = ["--pid", "--fork", "--", "/bin/sh", script];
        var (status, output) = Run("unshare", [.. contained, "sh", "-c", "cat; exit 9"], null, "input");
        if (status == 1)
            Assert.Skip("This user may make no process namespace.");
        Assert.Equal((9, "input"), (status, output));

        var start = new ProcessStartInfo("unshare", [.. contained, "sh", "-c", "echo started; exec sleep 60"]) { RedirectStandardOutput = true, RedirectStandardInput = true };
        using var process = Process.Start(start)!;
        Assert.Equal("started", process.StandardOutput.ReadLine());
        var first = File.ReadAllText($"/proc/{process.Id}/task/{process.Id}/children").Trim();
        using (var kill = Process.Start("kill", ["-" + signal, first]))
            kill.WaitForExit();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)), "the signal did not arrive");
        Assert.Equal(expected, process.ExitCode);
    }

    private string Image()
    {
        folder.Write("image/entrypoint.sh", File.ReadAllText(SharedData.Repository("docker/entrypoint.sh")));
        folder.Write("image/modules/AwqQuantize/1.0/AwqQuantize.psd1", "");
        return folder.File("image");
    }

    /// <summary>A program that prints its arguments.</summary>
    private string StandIn(string name)
    {
        var path = folder.Write(name, "#!/bin/sh\nprintf '<%s>' \"$@\"\necho\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return path;
    }

    private (int Status, string Output) Task(string list, int number, params string[] arguments)
    {
        var started = StandIn("show");
        return Run("/bin/sh", [SharedData.Repository("docker/run-task.sh"), list, number.ToString(), .. arguments], null, "", ("AWQ_COMMAND", started));
    }

    private static (int Status, string Output) Run(string script, string[] arguments, string? path) => Run("/bin/sh", [script, .. arguments], path, "");

    private static (int Status, string Output) Run(string program, string[] arguments, string? path, string input, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        if (path is not null)
            start.Environment["PATH"] = path + ":/usr/bin:/bin";
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output);
    }
}
