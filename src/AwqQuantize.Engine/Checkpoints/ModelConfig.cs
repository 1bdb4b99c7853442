using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>A model's <c>config.json</c>: the tree as it is, and the few values that do not depend on the architecture.</summary>
public sealed class ModelConfig
{
    public ModelConfig(JsonObject root)
    {
        Root = root;
    }

    /// <summary>The whole file. Keys are case sensitive; numbers keep their spelling.</summary>
    public JsonObject Root { get; }

    /// <summary><c>model_type</c>, or null where the file has none.</summary>
    public string? ModelType => Text(Root, "model_type");

    /// <summary><c>dtype</c> or, in the older form, <c>torch_dtype</c>, e.g. <c>bfloat16</c>; null where there is neither.</summary>
    public string? Dtype
    {
        get
        {
            var text = Text(Root, "dtype") ?? Text(Root, "torch_dtype");
            return text is not null && text.StartsWith("torch.", StringComparison.Ordinal) ? text["torch.".Length..] : text;
        }
    }

    /// <summary><c>tie_word_embeddings</c>; null where the file leaves it to the family's default.</summary>
    public bool? TieWordEmbeddings => Root["tie_word_embeddings"] is JsonValue value && value.TryGetValue<bool>(out var tied) ? tied : null;

    /// <summary>
    /// How the checkpoint is quantised already: <c>awq</c>, <c>gptq</c>, <c>compressed-tensors</c>, <c>fp8</c>,
    /// <c>bitsandbytes</c>, … as it says itself, <c>unknown</c> where it does not name the method, null where it is not quantised.
    /// </summary>
    public string? QuantizationMethod => MethodOf(Root) ?? (Root["text_config"] is JsonObject text ? MethodOf(text) : null);

    /// <summary>Reads the file.</summary>
    /// <exception cref="AwqException">It is missing or malformed.</exception>
    public static ModelConfig Load(string path) => new(PythonJson.ReadObject(path));

    private static string? MethodOf(JsonObject config)
    {
        if (config["quantization_config"] is JsonObject quantization)
        {
            if (Text(quantization, "quant_method") is { } method)
                return method.ToLowerInvariant();
            return quantization.ContainsKey("load_in_4bit") || quantization.ContainsKey("load_in_8bit") ? "bitsandbytes" : "unknown";
        }
        // Written by llm-compressor before transformers had a place for it.
        return config["compression_config"] is JsonObject ? "compressed-tensors" : null;
    }

    private static string? Text(JsonObject node, string key) => node[key] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}
