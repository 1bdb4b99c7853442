using System.Text.Json;

namespace AwqQuantize.Tests.Console;

public sealed class ConsoleTests
{
    [Fact]
    public void ACmdletWithArgumentsGivesATableOnStandardOutput()
    {
        var run = ConsoleProcess.Run("Get-AwqModel", "-Path", "samples/stories-llama");
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Contains("stories-llama", run.Output);
        Assert.Contains("Architecture", run.Output);
        Assert.DoesNotContain("\u001b", run.Output);
    }

    [Fact]
    public void AnErrorGoesToStandardErrorWithItsAdviceAndTheExitCodeIsOne()
    {
        var run = ConsoleProcess.Run("Get-AwqModel", "samples/stories-llama,nowhere at all");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("stories-llama", run.Output);
        Assert.Contains("nowhere at all", run.Error);
        Assert.Contains("Check the path", run.Error);
        Assert.DoesNotContain("\u001b", run.Error);
    }

    [Fact]
    public void AScriptAsTextAndAsFile()
    {
        var script = Path.Combine(Directory.CreateTempSubdirectory("awq test-").FullName, "it's a script.ps1");
        try
        {
            File.WriteAllText(script, "param([string]$Path, [int]$Times, [switch]$Loud)\n1..$Times | ForEach-Object { (Get-AwqModel $Path).Name }\nif ($Loud) { Write-Warning 'loud' }\n");
            var file = ConsoleProcess.Run("-File", script, "-Path", "samples/stories-llama", "-Times", "2", "-Loud");
            Assert.Equal((0, "stories-llama\nstories-llama\n"), (file.ExitCode, file.Output.ReplaceLineEndings("\n")));
            Assert.Equal("WARNING: loud", file.Error.Trim());
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(script)!, recursive: true);
        }
        var text = ConsoleProcess.Run("-Command", "Get-AwqModel samples | Select-Object Name, Parameters | ConvertTo-Json -Compress");
        Assert.Equal("""{"Name":"stories-llama","Parameters":918656}""", text.Output.Trim());
    }

    [Theory]
    [InlineData("exit 3", 3)]
    [InlineData("throw 'no'", 1)]
    [InlineData("Get-AwqModel /nowhere -ErrorAction SilentlyContinue", 0)]
    [InlineData("No-SuchCommand", 1)]
    [InlineData("1 +", 1)]
    public void ExitCodes(string script, int expected) => Assert.Equal(expected, ConsoleProcess.Run("-Command", script).ExitCode);

    [Theory]
    [InlineData("it's \"quoted\" $notavariable; `n")]
    [InlineData("-5.5")]
    [InlineData("--double")]
    [InlineData("C:\\a b")]
    [InlineData("{ }")]
    [InlineData("")]
    public void ArgumentsArriveAsTheyWereGiven(string argument)
    {
        var script = Path.Combine(Directory.CreateTempSubdirectory("awq-test-").FullName, "echo.ps1");
        try
        {
            File.WriteAllText(script, "param([string]$Value) ConvertTo-Json $Value");
            var run = ConsoleProcess.Run("-File", script, argument);
            Assert.Equal(argument, JsonSerializer.Deserialize<string>(run.Output));
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(script)!, recursive: true);
        }
    }

    [Fact]
    public void HelpAndVersionNeedNoModule()
    {
        Assert.Contains("-Command", ConsoleProcess.Run("--help").Output);
        Assert.Equal(Path.GetFileName(StagedModule.Root), ConsoleProcess.Run("--version").Output.Trim());
        Assert.Contains("SYNTAX", ConsoleProcess.Run("Get-Help", "Get-AwqModel").Output);
    }

    [Fact]
    public void AQuestionThatNobodyCanAnswerIsAnError()
    {
        var run = ConsoleProcess.Run("Invoke-AwqQuantization", "samples/stories-llama", "-Confirm");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("-Confirm:$false", run.Error);
    }
}
