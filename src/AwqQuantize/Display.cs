using System.Globalization;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize;

/// <summary>Numbers as the views show them; the objects themselves keep bytes, counts and times.</summary>
public static class Display
{
    private static readonly string[] SizeUnits = ["B", "KB", "MB", "GB", "TB", "PB"];
    private static readonly string[] CountUnits = ["", "K", "M", "B", "T"];

    /// <summary>Bytes in the largest unit of 1024 that leaves at least one, e.g. <c>1.75 MB</c>.</summary>
    public static string Size(long bytes) => Scale(bytes, 1024, SizeUnits, " ");

    /// <summary>A count of parameters in thousands, millions or billions, e.g. <c>8.03B</c>.</summary>
    public static string Count(long count) => Scale(count, 1000, CountUnits, "");

    /// <summary>E.g. <c>0.8 s</c>, <c>12 min 05 s</c>, <c>3 h 20 min</c>.</summary>
    public static string Duration(TimeSpan time) =>
        time.TotalHours >= 1 ? string.Create(CultureInfo.CurrentCulture, $"{(long)time.TotalHours} h {time.Minutes:00} min")
        : time.TotalMinutes >= 1 ? string.Create(CultureInfo.CurrentCulture, $"{time.Minutes} min {time.Seconds:00} s")
        : string.Create(CultureInfo.CurrentCulture, $"{time.TotalSeconds:0.0} s");

    /// <summary>A figure with so many digits, or nothing where it is not known.</summary>
    public static string Figure(double? value, int digits) => value?.ToString("F" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.CurrentCulture) ?? "";

    /// <summary>Where a model stands, with the reason in a word where it cannot be quantised.</summary>
    public static string Status(AwqModelInfo model) => model.Status switch
    {
        ModelStatus.Ready => "ready",
        ModelStatus.Unfinished => "unfinished",
        ModelStatus.Done => "done",
        ModelStatus.Quantized => $"is {model.Quantization}",
        _ => $"no: {model.ErrorId}",
    };

    /// <summary>A line for each check that failed or warns.</summary>
    public static string[] Findings(IEnumerable<AwqCheck> checks) =>
        [.. checks.Where(c => c.Status is CheckStatus.Failed or CheckStatus.Warning).Select(c => $"{c.Status}: {c.Name}{(c.Subject.Length > 0 ? $" ({c.Subject})" : "")}: {c.Message}")];

    private static string Scale(double value, double step, string[] units, string gap)
    {
        var unit = 0;
        while (Math.Abs(value) >= step && unit < units.Length - 1)
        {
            value /= step;
            unit++;
        }
        var digits = unit == 0 ? "0" : Math.Abs(value) < 10 ? "0.00" : Math.Abs(value) < 100 ? "0.0" : "0";
        return value.ToString(digits, CultureInfo.CurrentCulture) + (units[unit].Length > 0 ? gap + units[unit] : "");
    }
}
