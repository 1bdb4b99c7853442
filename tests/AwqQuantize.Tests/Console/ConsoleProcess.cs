using System.Diagnostics;

namespace AwqQuantize.Tests.Console;

/// <summary>The console host as a process.</summary>
internal sealed record ConsoleProcess(int ExitCode, string Output, string Error)
{
    public static ConsoleProcess Run(params string[] arguments)
    {
        using var process = Start(StagedModule.Repository, arguments);
        return Finish(process);
    }

    public static Process Start(string folder, params string[] arguments) =>
        Process.Start(new ProcessStartInfo("dotnet", [StagedModule.Metadata("ConsoleAssembly"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder,
        })!;

    public static ConsoleProcess Finish(Process process)
    {
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new ConsoleProcess(process.ExitCode, output, error.Result);
    }
}
