using System.Globalization;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Runs;

/// <summary>What determines a run's result, by name.</summary>
internal sealed class RunIdentity
{
    /// <param name="folder">The source.</param>
    /// <param name="options">What is wanted of it.</param>
    /// <param name="rows">Calibration rows; null without calibration.</param>
    public RunIdentity(ModelFolder folder, QuantizationOptions options, TokenRows? rows)
    {
        var values = new Dictionary<string, string>
        {
            ["Source"] = SourceIdentity.Of(folder),
            ["GroupSize"] = options.GroupSize.ToString(CultureInfo.InvariantCulture),
            ["Rounding"] = options.Rounding.ToString(),
            ["MaxQuality"] = options.MaxQuality.ToString(),
            ["NoCalibration"] = options.NoCalibration.ToString(),
            ["CalibrateEveryExpert"] = options.CalibrateEveryExpert.ToString(),
            ["ExcludeModule"] = string.Join(",", options.ExcludeModule),
            ["CalibrationTokens"] = rows?.Fingerprint() ?? "none",
            ["SequenceLength"] = (rows?.Length ?? 0).ToString(CultureInfo.InvariantCulture),
        };
        // Steps that nobody asked for follow from all the rest.
        if ((options.TuningSteps ?? options.Tuning?.Steps) is { } steps)
            values["TuningSteps"] = steps.ToString(CultureInfo.InvariantCulture);
        if (options.MaxQuality)
            values["MaxBitsPerWeight"] = options.MaxBitsPerWeight.ToString(CultureInfo.InvariantCulture);
        Values = values;
    }

    /// <summary>The first option that two runs do not have in common; null where they agree. One that both name says more than one that only one of them names, and any option more than a hash that it changes.</summary>
    public static (string Name, string? Before, string? Now)? Difference(IReadOnlyDictionary<string, string> before, IReadOnlyDictionary<string, string> now)
    {
        var different = now.Keys.Union(before.Keys).Where(n => before.GetValueOrDefault(n) != now.GetValueOrDefault(n))
            .OrderBy(n => n is "Source" or "CalibrationTokens").ThenBy(n => !now.ContainsKey(n) || !before.ContainsKey(n)).ThenBy(n => n, StringComparer.Ordinal);
        return different.FirstOrDefault() is { } name ? (name, before.GetValueOrDefault(name), now.GetValueOrDefault(name)) : null;
    }

    /// <summary>Without what a finished checkpoint is not made again for: this program's version and the device.</summary>
    public IReadOnlyDictionary<string, string> Values { get; }

    /// <summary>With them: an unfinished run is only taken up when all of it is the same.</summary>
    /// <param name="device">Kind of device.</param>
    public IReadOnlyDictionary<string, string> On(string device) => new Dictionary<string, string>(Values)
    {
        ["Version"] = typeof(RunIdentity).Assembly.GetName().Version!.ToString(),
        ["Device"] = device.ToUpperInvariant(),
    };
}
