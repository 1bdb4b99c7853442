using System.Globalization;
using System.Text.Json;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Layers;

namespace AwqQuantize.Engine.Runs;

/// <summary>Decides, before anything is quantised, which linears stay in float16. The decision lies in the run folder, so a run that is taken up has the same.</summary>
internal static class SensitivityStage
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>How each set is quantised for the measurement: as by default, but that descent ends after a sweep.</summary>
    public static AwqSettings Settings(QuantizationOptions options) => new() { GroupSize = options.GroupSize, Rounding = options.Rounding, Sweeps = 1 };

    /// <summary>The decision of an earlier start of this run, or a new one.</summary>
    public static IReadOnlyList<ModuleSensitivity> Run(
        QuantizationPlan plan, DecoderModel model, TokenRows rows, RunFolder run, AwqSettings settings, MicroBatch batch, Action<string, double> progress, CancellationToken cancel)
    {
        if (File.Exists(run.Sensitivity))
            return JsonSerializer.Deserialize<List<ModuleSensitivity>>(File.ReadAllBytes(run.Sensitivity), Json)!;
        var sensitivity = plan.Sensitivity!;
        var walk = new SensitivityWalk(model, sensitivity, rows.Rows, settings, batch, plan.MeasuredOnDisk ? run.Path : null, cancel);
        var decided = FloatBudget.Choose(walk.Run(progress), sensitivity.SpareWeights);
        AtomicFile.WriteText(run.Sensitivity, JsonSerializer.Serialize(decided, Json));
        return decided;
    }

    /// <summary>Why each of the linears stays float, by full name.</summary>
    public static IReadOnlyDictionary<string, string> Reasons(ModelGraph graph, IReadOnlyList<ModuleSensitivity> decided) =>
        decided.Where(d => d.StaysFloat).SelectMany(d => d.Set.Modules.Select(m => (Name: graph.Layers[d.Set.Layer].Prefix + m, d.KlDivergence)))
            .ToDictionary(m => m.Name, m => string.Create(CultureInfo.InvariantCulture, $"sensitive: a KL divergence of {m.KlDivergence:G3} when it alone is quantised"));
}
