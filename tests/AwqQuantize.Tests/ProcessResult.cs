using System.Diagnostics;

namespace AwqQuantize.Tests;

/// <summary>What an ended process left.</summary>
internal sealed record ProcessResult(int ExitCode, string Output, string Error)
{
    /// <summary>Waits for the end, with nothing more to read for the process.</summary>
    public static ProcessResult Of(Process process)
    {
        using (process)
        {
            process.StandardInput.Close();
            var error = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return new ProcessResult(process.ExitCode, output, error.Result);
        }
    }
}
