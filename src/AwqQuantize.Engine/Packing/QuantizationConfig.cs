using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Packing;

/// <summary>The <c>quantization_config</c> of a checkpoint in the AWQ GEMM format.</summary>
/// <param name="GroupSize">Input channels that share a scale; -1: all of them.</param>
/// <param name="ModulesToNotConvert">Linears that stay float; a module is meant when its name contains an entry.</param>
public sealed record QuantizationConfig(int GroupSize, IReadOnlyList<string> ModulesToNotConvert)
{
    /// <summary>The only width that this program writes and reads.</summary>
    public const int Bits = 4;

    /// <summary>The key in config.json.</summary>
    public const string Key = "quantization_config";

    /// <summary>Group size of a linear with that many inputs.</summary>
    public int GroupSizeFor(int inputs) => GroupSize == -1 ? inputs : GroupSize;

    /// <summary>Whether readers leave this module float, matching as they do: by substring.</summary>
    public bool IsExcluded(string module) => ModulesToNotConvert.Any(m => module.Contains(m, StringComparison.Ordinal));

    /// <summary>The value of <see cref="Key"/>, as AutoAWQ, transformers and vLLM read it.</summary>
    public JsonObject ToJson() => new()
    {
        ["quant_method"] = "awq",
        ["bits"] = Bits,
        ["group_size"] = GroupSize,
        ["zero_point"] = true,
        ["version"] = "gemm",
        ["modules_to_not_convert"] = ModulesToNotConvert.Count == 0 ? null : new JsonArray([.. ModulesToNotConvert.Select(m => (JsonNode)m)]),
    };

    /// <summary>
    /// Reads what AutoAWQ, GPTQModel, transformers or this program wrote into config.json.
    /// </summary>
    /// <param name="config">The whole config.json.</param>
    /// <param name="path">Named in messages.</param>
    /// <exception cref="AwqException"><c>QuantizationMissing</c>, <c>QuantizationNotSupported</c>, <c>QuantizationConfigInvalid</c>.</exception>
    public static QuantizationConfig Read(JsonObject config, string path)
    {
        if (config[Key] is not JsonObject quantization)
        {
            throw new AwqException("QuantizationMissing", AwqErrorKind.NotFound, $"'{path}' has no {Key}: the model is not quantised.",
                "Give the folder of a quantised checkpoint.");
        }
        var method = Text(quantization, "quant_method") ?? "unknown";
        if (!method.Equals("awq", StringComparison.OrdinalIgnoreCase))
            throw NotSupported(path, $"the quantisation method '{method}'");
        // transformers and AutoAWQ say version, GPTQModel says checkpoint_format, and format in older releases.
        var version = Text(quantization, "version") ?? Text(quantization, "checkpoint_format") ?? Text(quantization, "format") ?? "gemm";
        if (!version.Equals("gemm", StringComparison.OrdinalIgnoreCase))
            throw NotSupported(path, $"the AWQ layout '{version}'");
        var bits = Integer(quantization, path, "bits") ?? Integer(quantization, path, "w_bit") ?? Bits;
        if (bits != Bits)
            throw NotSupported(path, $"{bits} bits");
        // GPTQModel says symmetric where the others say zero_point; its GEMM files hold zero points either way.
        if (Boolean(quantization, path, "zero_point") == false)
            throw NotSupported(path, "quantisation without zero points");
        var group = Integer(quantization, path, "group_size") ?? Integer(quantization, path, "q_group_size")
            ?? throw Invalid(path, "group_size is missing");
        if (group is not (-1 or > 0))
            throw Invalid(path, $"group_size {group} is no size");
        return new QuantizationConfig(group, Modules(quantization["modules_to_not_convert"], path));
    }

    private static List<string> Modules(JsonNode? node, string path)
    {
        var modules = new List<string>();
        if (node is null)
            return modules;
        if (node is not JsonArray items)
            throw Invalid(path, "modules_to_not_convert is no list");
        foreach (var item in items)
        {
            if (item is not JsonValue value || !value.TryGetValue<string>(out var module) || module.Length == 0)
                throw Invalid(path, "modules_to_not_convert holds something that is no module name");
            modules.Add(module);
        }
        return modules;
    }

    private static string? Text(JsonObject node, string key) => node[key] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    private static int? Integer(JsonObject node, string path, string key)
    {
        if (node[key] is not { } found)
            return null;
        return found is JsonValue value && value.TryGetValue<int>(out var number) ? number : throw Invalid(path, $"{key} is no integer");
    }

    private static bool? Boolean(JsonObject node, string path, string key)
    {
        if (node[key] is not { } found)
            return null;
        return found is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : throw Invalid(path, $"{key} is neither true nor false");
    }

    private static AwqException NotSupported(string path, string what) =>
        new("QuantizationNotSupported", AwqErrorKind.NotSupported, $"'{path}' announces {what}; only AWQ with 4 bits in the GEMM layout is read.",
            "Use a checkpoint in the AWQ GEMM format.");

    private static AwqException Invalid(string path, string what) =>
        new("QuantizationConfigInvalid", AwqErrorKind.InvalidData, $"The {Key} in '{path}' is malformed: {what}.", "Repair the file, or download it again.");
}
