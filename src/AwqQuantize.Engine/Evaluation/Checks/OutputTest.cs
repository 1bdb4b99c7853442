using System.Diagnostics;
using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>Checks a finished checkpoint: its files, every tensor, what readers ask, and that it is still the source's model.</summary>
public static class OutputTest
{
    /// <summary>The checks, in the order in which they are made and reported.</summary>
    private static IReadOnlyList<OutputCheck> Checks() =>
    [
        new FilesCheck(), new ShardsCheck(), new ConfigCheck(), new ArchitectureCheck(), new TensorsCheck(), new ScalesCheck(), new CodesCheck(),
        new FloatTensorsCheck(), new SiblingsCheck(), new ExclusionsCheck(), new TokenizerCheck(), new GenerationConfigCheck(), new VllmCheck(),
        new RoundTripCheck(), new MeasurementCheck(), new SampleCheck(),
    ];

    /// <summary>Names of the checks, in order.</summary>
    public static IReadOnlyList<string> CheckNames { get; } = [.. Checks().Select(c => c.Name)];

    /// <param name="options">The checkpoint, and what to check.</param>
    /// <param name="catalog">Known architectures.</param>
    /// <param name="progress">Told what is being checked, and how much of that is done (0 to 1).</param>
    /// <param name="cancel">Ends the work within a second.</param>
    /// <exception cref="AwqException">There is no such folder, the source cannot be read, or a text cannot: nothing about the checkpoint.</exception>
    public static AwqTestResult Run(OutputTestOptions options, ArchitectureCatalog catalog, Action<string, double>? progress = null, CancellationToken cancel = default)
    {
        var clock = Stopwatch.StartNew();
        using var folder = new OutputFolder(options, catalog) { Progress = progress, Cancel = cancel };
        var found = new List<AwqCheck>();
        foreach (var check in Checks())
        {
            cancel.ThrowIfCancellationRequested();
            progress?.Invoke(check.Name, 0);
            found.AddRange(check.Run(folder));
        }
        return new AwqTestResult
        {
            Path = folder.Path, SourcePath = folder.Source?.Folder.Path, Checks = found, Measurement = folder.Measurement,
            Modules = folder.ModuleErrors, SampleText = folder.SampleText, Duration = clock.Elapsed,
        };
    }
}
