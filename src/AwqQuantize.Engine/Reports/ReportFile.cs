using System.Text.Json;
using System.Text.Json.Serialization;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Reports;

/// <summary>The report's data in a checkpoint's folder.</summary>
public static class ReportFile
{
    public const string Name = "awq-report.json";

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter() },
    };

    /// <summary>Writes it, without times and memory: the same run gives the same bytes.</summary>
    public static void Write(string folder, QuantizationReport report)
    {
        var stable = report with
        {
            Duration = null, PeakMemory = null, Warnings = [], Layers = [.. report.Layers.Select(l => l with { Seconds = new Dictionary<string, double>(), PeakMemory = null })],
        };
        AtomicFile.WriteText(Path.Combine(folder, Name), JsonSerializer.Serialize(stable, Json) + "\n");
    }

    /// <summary>Reads it.</summary>
    /// <exception cref="AwqException"><c>ReportMissing</c>, <c>ReportInvalid</c>.</exception>
    public static QuantizationReport Read(string folder)
    {
        var path = Path.Combine(folder, Name);
        if (!File.Exists(path))
        {
            throw new AwqException("ReportMissing", AwqErrorKind.NotFound, $"'{folder}' has no {Name}.",
                "Give the folder of a checkpoint that this program made.");
        }
        try
        {
            return JsonSerializer.Deserialize<QuantizationReport>(File.ReadAllBytes(path), Json) ?? throw new JsonException("it is empty");
        }
        catch (JsonException e)
        {
            throw new AwqException("ReportInvalid", AwqErrorKind.InvalidData, $"'{path}' is no report: {e.Message}", "Quantise the model again, or restore the file.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new AwqException("ReportUnreadable", AwqErrorKind.PermissionDenied, $"'{path}' cannot be read: {e.Message}", "Give this user access.", e);
        }
    }
}
