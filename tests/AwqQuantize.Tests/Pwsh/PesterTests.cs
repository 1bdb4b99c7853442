namespace AwqQuantize.Tests.Pwsh;

/// <summary>tests/Pester in a real pwsh.</summary>
public sealed class PesterTests
{
    [Theory]
    [InlineData("AwqQuantize.Tests.ps1", 30)]
    [InlineData("Examples.Tests.ps1", 20)]
    public void EveryPesterTestPasses(string file, int atLeast)
    {
        var run = PwshProcess.Run($$"""
            $ErrorActionPreference = 'Stop'
            Import-Module '{{StagedModule.Metadata("PesterModule")}}'
            $configuration = New-PesterConfiguration
            $configuration.Run.Path = 'tests/Pester/{{file}}'
            $configuration.Run.PassThru = $true
            $configuration.Output.Verbosity = 'None'
            $result = Invoke-Pester -Configuration $configuration
            foreach ($test in $result.Tests.Where({ $_.Result -ne 'Passed' })) { [Console]::Error.WriteLine("$($test.ExpandedPath): $($test.Result) $($test.ErrorRecord)") }
            foreach ($container in $result.FailedContainers + $result.FailedBlocks) { [Console]::Error.WriteLine("$container $($container.ErrorRecord)") }
            [Console]::Out.WriteLine("passed: $($result.PassedCount)")
            exit $result.TotalCount - $result.PassedCount + $result.FailedContainersCount + $result.FailedBlocksCount
            """);
        Assert.True(run.ExitCode == 0, run.Error + run.Output);
        // All of them: Pester ends well too where it found nothing.
        var passed = run.Output.Split('\n').Single(l => l.StartsWith("passed: ", StringComparison.Ordinal));
        Assert.InRange(int.Parse(passed["passed: ".Length..]), atLeast, 1000);
    }
}
