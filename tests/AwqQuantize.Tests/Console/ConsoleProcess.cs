using System.Diagnostics;

namespace AwqQuantize.Tests.Console;

/// <summary>The console host as a process.</summary>
internal static class ConsoleProcess
{
    public static ProcessResult Run(params string[] arguments) => ProcessResult.Of(Start(StagedModule.Repository, arguments));

    public static Process Start(string folder, params string[] arguments) =>
        Process.Start(new ProcessStartInfo("dotnet", [StagedModule.Metadata("ConsoleAssembly"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder,
        })!;
}
