using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Packing;

/// <summary>Makes a quantised checkpoint's config.json from its source's.</summary>
public static class AwqConfigWriter
{
    private static readonly string[] DtypeKeys = ["dtype", "torch_dtype"];

    /// <summary>
    /// The source's config in its order, with float16 as its type (everything that stays float is stored so, and the
    /// kernels compute in it) and the quantisation at the end. The source is left as it is.
    /// </summary>
    public static JsonObject Create(JsonObject source, QuantizationConfig quantization)
    {
        var config = (JsonObject)source.DeepClone();
        var named = SetDtype(config);
        // Composite configs repeat the type in the part that describes the text model.
        if (config["text_config"] is JsonObject text)
            SetDtype(text);
        if (!named)
            config["torch_dtype"] = "float16";
        config.Remove(QuantizationConfig.Key);
        config[QuantizationConfig.Key] = quantization.ToJson();
        return config;
    }

    private static bool SetDtype(JsonObject config)
    {
        var named = false;
        foreach (var key in DtypeKeys.Where(config.ContainsKey))
        {
            config[key] = "float16";
            named = true;
        }
        return named;
    }
}
