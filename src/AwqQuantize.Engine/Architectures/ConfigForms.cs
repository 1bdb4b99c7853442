using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>
/// The two forms of config.json: what transformers 5 writes (<c>rope_parameters</c>) is brought to the older one
/// (<c>rope_theta</c>, <c>rope_scaling</c>, <c>partial_rotary_factor</c> at the top), which most published checkpoints have.
/// </summary>
internal static class ConfigForms
{
    public static JsonObject Normalise(JsonObject config)
    {
        var result = config.DeepClone().AsObject();
        if (result["rope_parameters"] is JsonObject rope && !rope.Any(p => p.Value is JsonObject))
            Flatten(result, rope);
        // A length at the top comes before the one beside the factors; a missing one means the model's own.
        if (result["rope_scaling"] is JsonObject scaling && (scaling["rope_type"] ?? scaling["type"])?.ToString() is "llama3" or "yarn" or "longrope" or "su"
            && (result["original_max_position_embeddings"] ?? scaling["original_max_position_embeddings"] ?? result["max_position_embeddings"]) is { } original)
            result["rope_scaling"]!["original_max_position_embeddings"] = original.DeepClone();
        return result;
    }

    private static void Flatten(JsonObject result, JsonObject rope)
    {
        foreach (var key in (string[])["rope_theta", "partial_rotary_factor"])
        {
            if (rope[key] is { } value)
                result[key] = value.DeepClone();
        }
        // Without scaling there is nothing more to say; a model without rotary embedding may carry this much.
        if (rope.Any(p => p.Key is not ("rope_type" or "type" or "rope_theta" or "partial_rotary_factor")) || (rope["rope_type"] ?? rope["type"])?.ToString() is not ("default" or null))
            result["rope_scaling"] = rope.DeepClone();
    }
}
