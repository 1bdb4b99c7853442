using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>config.json announces the format that readers take, and describes the source's model.</summary>
internal sealed class ConfigCheck : OutputCheck
{
    // What a quantised checkpoint's config may say otherwise: nothing of it changes what the model computes.
    private static readonly string[] MayDiffer =
    [
        "dtype", "torch_dtype", "quantization_config", "transformers_version", "_name_or_path", "use_cache", "architectures", "auto_map",
        "_attn_implementation", "_attn_implementation_autoset", "_commit_hash",
    ];

    public override string Name => "Config";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if ((folder.ConfigError ?? folder.QuantizationError) is { } error)
        {
            yield return Failed(ModelFolder.ConfigFile, error.Message);
            if (folder.Config is null)
                yield break;
        }
        var quantization = folder.Config![QuantizationConfig.Key] as JsonObject;
        if (folder.Packed is null && quantization is not null && quantization["zero_point"] is null && quantization["sym"] is null && quantization["symmetric"] is null)
            yield return Warning("zero_point", "The setting is missing; vLLM asks for it.");
        if (folder.Packed is null && (folder.Config["dtype"] ?? folder.Config["torch_dtype"])?.ToString() is var dtype and not "float16")
            yield return Warning("dtype", $"The type is {dtype ?? "not named"}; AWQ kernels compute in float16.");
        if (folder.Source is null)
            yield break;
        foreach (var finding in Compare(ConfigForms.Normalise(folder.Source.Folder.Config.Root), ConfigForms.Normalise(folder.Config)))
            yield return finding;
    }

    private IEnumerable<AwqCheck> Compare(JsonObject source, JsonObject config)
    {
        foreach (var (key, value) in source.Where(p => !MayDiffer.Contains(p.Key)))
        {
            if (!config.TryGetPropertyValue(key, out var own))
            {
                if (value is not null)
                    yield return Warning(key, $"The source has {Text(value)}, and the setting is missing here: readers take their default.");
            }
            else if (!Same(value, own))
                yield return Failed(key, $"The source has {Text(value)}, and here it is {Text(own)}.");
        }
    }

    /// <summary>Equal as values: 1e-05 and 0.00001 are, and parts may name the type of their weights.</summary>
    private static bool Same(JsonNode? a, JsonNode? b)
    {
        if (a is JsonObject x && b is JsonObject y)
        {
            return x.Select(p => p.Key).Union(y.Select(p => p.Key)).Where(k => !MayDiffer.Contains(k))
                .All(k => Same(x.TryGetPropertyValue(k, out var left) ? left : null, y.TryGetPropertyValue(k, out var right) ? right : null));
        }
        if (a is JsonValue v && b is JsonValue w && v.GetValueKind() == System.Text.Json.JsonValueKind.Number && w.GetValueKind() == System.Text.Json.JsonValueKind.Number)
            return double.Parse(v.ToString(), System.Globalization.CultureInfo.InvariantCulture).Equals(double.Parse(w.ToString(), System.Globalization.CultureInfo.InvariantCulture));
        return JsonNode.DeepEquals(a, b);
    }

    private static string Text(JsonNode? node) => node?.ToJsonString() ?? "null";

    protected override string Praise(OutputFolder folder) =>
        (folder.Quantization is { } awq ? $"AWQ with 4 bits in groups of {awq.GroupSize}" : "compressed-tensors with 4-bit weights, packed") + (folder.Source is null ? "." : "; every setting is the source's.");
}
