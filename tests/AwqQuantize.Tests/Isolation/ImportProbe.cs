using System.Diagnostics;
using System.Globalization;
using System.Runtime.Loader;

namespace AwqQuantize.Tests.Isolation;

/// <summary>What one import costs in a fresh process. <see cref="ImportTests"/> starts that process.</summary>
public sealed class ImportProbe
{
    public const string AnswerVariable = "AWQ_TEST_IMPORT_PROBE";

    [Fact(Explicit = true)]
    public void Measure()
    {
        using var session = new ModuleSession(import: false);
        // An empty module first: PowerShell's own import code is compiled just in time here and ahead of time in pwsh.
        var empty = Directory.CreateTempSubdirectory().FullName;
        File.WriteAllText(Path.Combine(empty, "Empty.psd1"), "@{ ModuleVersion = '1.0'; CmdletsToExport = @() }");
        session.Run("Import-Module $empty/Empty.psd1", ("empty", empty)).ThrowOnError();
        Directory.Delete(empty, recursive: true);
        // Where other processes compete for the cores, the processor time says what the import itself takes.
        var process = Process.GetCurrentProcess();
        var busy = process.TotalProcessorTime;
        var watch = Stopwatch.StartNew();
        session.Run("Import-Module $manifest", ("manifest", StagedModule.Manifest)).ThrowOnError();
        var milliseconds = watch.Elapsed.TotalMilliseconds;
        process.Refresh();
        milliseconds = Math.Min(milliseconds, (process.TotalProcessorTime - busy).TotalMilliseconds);
        var natives = process.Modules.Cast<ProcessModule>()
            .Count(m => m.FileName.StartsWith(StagedModule.Natives, StringComparison.Ordinal));
        var dependencies = AssemblyLoadContext.All.Count(c => c.Name == "AwqQuantize dependencies");
        File.WriteAllText(Environment.GetEnvironmentVariable(AnswerVariable)!,
            string.Create(CultureInfo.InvariantCulture, $"{milliseconds} {natives} {dependencies}"));
    }
}
