using System.Diagnostics;

namespace AwqQuantize.Tests.Console;

/// <summary>The console host as a process.</summary>
internal static class ConsoleProcess
{
    public static ProcessResult Run(params string[] arguments) => ProcessResult.Of(Start(StagedModule.Repository, arguments));

    private static string[] Launcher => OperatingSystem.IsLinux() ? ["--default-signal", "dotnet"] : [];

    public static Process Start(string folder, params string[] arguments) =>
        // What runs in a shell's background ignores SIGINT, and so do its children, these tests too.
        Process.Start(new ProcessStartInfo(OperatingSystem.IsLinux() ? "env" : "dotnet", [.. Launcher, StagedModule.Metadata("ConsoleAssembly"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder,
        })!;
}
