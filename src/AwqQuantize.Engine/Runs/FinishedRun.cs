using AwqQuantize.Engine.Reports;

namespace AwqQuantize.Engine.Runs;

/// <summary>A destination that an earlier run finished.</summary>
internal static class FinishedRun
{
    /// <summary>
    /// What stands at the destination, when the same source and the same options made it; null where nothing stands there.
    /// </summary>
    /// <param name="destination">Full path.</param>
    /// <param name="source">Full path of the float model.</param>
    /// <param name="identity">What determines the result, by name.</param>
    /// <exception cref="AwqException"><c>DestinationExists</c>: something else stands there, or the same made otherwise.</exception>
    public static AwqQuantizationResult? Find(string destination, string source, IReadOnlyDictionary<string, string> identity)
    {
        if (!Directory.Exists(destination) || !Directory.EnumerateFileSystemEntries(destination).Any())
            return null;
        if (!File.Exists(Path.Combine(destination, ReportFile.Name)))
            throw Other(destination, $"has no {ReportFile.Name}, so that nobody can tell how it was made");
        var report = ReportFile.Read(destination);
        if (RunIdentity.Difference(report.Identity, identity) is var (name, before, now))
            throw Other(destination, Difference(name, before, now));
        return new AwqQuantizationResult
        {
            Status = RunStatus.AlreadyDone, Path = destination, SourcePath = source, Architecture = report.Architecture, SourceSize = report.SourceSize,
            Size = report.Size, BitsPerWeight = report.BitsPerWeight, GroupSize = report.GroupSize, QuantizedModules = report.QuantizedModules,
            FloatModules = report.FloatModules, Sensitivity = report.Sensitivity ?? [], Tuning = report.Tuning, Duration = TimeSpan.Zero, PeakMemory = 0, Device = report.Device, Layers = report.Layers, Warnings = [],
        };
    }

    private static string Difference(string name, string? before, string? now) => name switch
    {
        "Source" => "was made from another model, or from another state of it",
        "CalibrationTokens" => "was calibrated on other tokens",
        _ => $"was made with {name} = {before ?? "its default"}, now it is {now ?? "its default"}",
    };

    private static AwqException Other(string destination, string what) => new("DestinationExists", AwqErrorKind.AlreadyExists,
        $"The destination '{destination}' exists already, and {what}.", "Replace it with -Force, or choose another with -OutputPath.");
}
