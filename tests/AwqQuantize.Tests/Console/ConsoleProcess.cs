using System.Diagnostics;

namespace AwqQuantize.Tests.Console;

/// <summary>The console host as a process.</summary>
internal static class ConsoleProcess
{
    public static ProcessResult Run(params string[] arguments) => ProcessResult.Of(Start(StagedModule.Repository, arguments));

    private static string[] Launcher => OperatingSystem.IsLinux() ? ["--default-signal", "dotnet"] : [];

    public static Process Start(string folder, params string[] arguments) => Start(folder, [], arguments);

    /// <param name="environment">What is different for it; null for what it is not to see.</param>
    public static Process Start(string folder, Dictionary<string, string?> environment, params string[] arguments)
    {
        // What runs in a shell's background ignores SIGINT, and so do its children, these tests too.
        var start = new ProcessStartInfo(OperatingSystem.IsLinux() ? "env" : "dotnet", [.. Launcher, StagedModule.Metadata("ConsoleAssembly"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder,
        };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return Process.Start(start)!;
    }
}
