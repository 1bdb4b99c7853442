using System.Diagnostics;

namespace AwqQuantize.Tests.Pwsh;

/// <summary>A real pwsh, of the package that the build brings, as a process.</summary>
internal static class PwshProcess
{
    public static string Assembly =>
        Path.Combine(StagedModule.Metadata("PowerShellPackage"), "tools", "net10.0", "any", OperatingSystem.IsWindows() ? "win" : "unix", "pwsh.dll");

    /// <summary>Runs a script in which the module is found by its name, in the repository's folder.</summary>
    public static ProcessResult Run(string script) => ProcessResult.Of(Start(script));

    public static Process Start(string script) => Start("dotnet", Arguments(script));

    /// <summary>With signals as a terminal gives them: what runs in a shell's background ignores SIGINT, and so do its children, these tests too.</summary>
    public static Process StartWithSignals(string script) =>
        OperatingSystem.IsLinux() ? Start("env", ["--default-signal", "dotnet", .. Arguments(script)]) : Start(script);

    private static string[] Arguments(string script) => [Assembly, "-NoLogo", "-NoProfile", "-NonInteractive", "-Command", script];

    /// <param name="path">Folder that is looked into first for programs.</param>
    public static Process Start(string program, IEnumerable<string> arguments, string? path = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = StagedModule.Repository,
        };
        start.Environment["PSModulePath"] = Path.GetDirectoryName(Path.GetDirectoryName(StagedModule.Root));
        start.Environment["POWERSHELL_TELEMETRY_OPTOUT"] = "1";
        start.Environment["POWERSHELL_UPDATECHECK"] = "Off";
        start.Environment["NO_COLOR"] = "1";
        if (path is not null)
            start.Environment["PATH"] = path + Path.PathSeparator + Environment.GetEnvironmentVariable("PATH");
        return Process.Start(start)!;
    }
}
