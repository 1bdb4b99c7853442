using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Packing;

/// <summary>
/// The <c>quantization_config</c> of a checkpoint that llm-compressor exported with 4-bit weights: compressed-tensors in its
/// <c>pack-quantized</c> form. Everything else that compressed-tensors can say is refused by name.
/// </summary>
/// <param name="Ignored">Modules that stay float: names, or patterns after <c>re:</c>.</param>
public sealed record CompressedTensorsConfig(IReadOnlyList<string> Ignored)
{
    public const string Method = "compressed-tensors", Format = "pack-quantized";

    private const string Pattern = "re:";

    /// <summary>Whether config.json announces compressed-tensors, in whatever form.</summary>
    public static bool IsAnnounced(JsonObject config) =>
        config["compression_config"] is JsonObject
        || config[QuantizationConfig.Key] is JsonObject quantization && Text(quantization["quant_method"]) is Method;

    /// <summary>Whether readers leave this module float.</summary>
    public bool IsIgnored(string module) => Ignored.Any(i => i.StartsWith(Pattern, StringComparison.Ordinal)
        ? Regex.IsMatch(module, $"^(?:{i[Pattern.Length..]})", RegexOptions.None, TimeSpan.FromSeconds(1)) : i == module);

    /// <param name="config">The whole config.json.</param>
    /// <param name="path">Named in messages.</param>
    /// <exception cref="AwqException"><c>QuantizationNotSupported</c>, <c>QuantizationConfigInvalid</c>.</exception>
    public static CompressedTensorsConfig Read(JsonObject config, string path)
    {
        var root = (config[QuantizationConfig.Key] ?? config["compression_config"])!.AsObject();
        RequireFormat(Text(root["format"]), path);
        if (root["sparsity_config"] is JsonObject { Count: > 0 } sparsity && Text(sparsity["format"]) is not (null or "dense"))
            throw NotSupported(path, $"the sparse format '{Text(sparsity["format"])}'");
        if (root["kv_cache_scheme"] is JsonObject)
            throw NotSupported(path, "a quantised key-value cache");
        if (root["config_groups"] is not JsonObject { Count: > 0 } groups)
            throw Invalid(path, "config_groups is missing or empty");
        foreach (var (name, node) in groups)
            ReadGroup(node as JsonObject ?? throw Invalid(path, $"{name} of config_groups is no object"), name, path);
        return new CompressedTensorsConfig(Ignore(root["ignore"], path));
    }

    private static void ReadGroup(JsonObject group, string name, string path)
    {
        if (Text(group["format"]) is { } format)
            RequireFormat(format, path);
        foreach (var side in (string[])["input_activations", "output_activations"])
            if (group[side] is JsonObject)
                throw NotSupported(path, $"quantised activations ({side} of {name})");
        if (group["weights"] is not JsonObject weights)
            throw NotSupported(path, $"a group without weights ({name})");
        if (Text(weights["type"]) is var type and not (null or "int"))
            throw NotSupported(path, $"weights of the type '{type}'");
        if (weights["num_bits"]?.ToString() is var bits and not "4")
            throw NotSupported(path, $"{bits ?? "an unknown number of"} bits");
        if (Text(weights["strategy"]) is var strategy and not ("group" or "channel"))
            throw NotSupported(path, $"the strategy '{strategy}'");
    }

    private static void RequireFormat(string? format, string path)
    {
        if (format != Format)
            throw NotSupported(path, $"{Method} in the format '{format}'");
    }

    private static List<string> Ignore(JsonNode? node, string path) => node switch
    {
        null => [],
        JsonArray items => [.. items.Select(i => Text(i) is { Length: > 0 } name ? Checked(name, path) : throw Invalid(path, "ignore holds something that is no module name"))],
        _ => throw Invalid(path, "ignore is no list"),
    };

    private static string Checked(string name, string path)
    {
        try
        {
            if (name.StartsWith(Pattern, StringComparison.Ordinal))
                _ = new Regex(name[Pattern.Length..]);
            return name;
        }
        catch (ArgumentException)
        {
            throw Invalid(path, $"'{name}' of ignore is no pattern");
        }
    }

    private static string? Text(JsonNode? node) => node is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    private static AwqException NotSupported(string path, string what) => new("QuantizationNotSupported", AwqErrorKind.NotSupported,
        $"'{path}' announces {what}; of compressed-tensors, 4-bit integer weights in the format '{Format}' are read.", "Use a checkpoint with 4-bit weights alone (W4A16), or one in the AWQ GEMM format.");

    private static AwqException Invalid(string path, string what) => new("QuantizationConfigInvalid", AwqErrorKind.InvalidData,
        $"The {QuantizationConfig.Key} in '{path}' is malformed: {what}.", "Repair the file, or download it again.");
}
