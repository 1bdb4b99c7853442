using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// The files beside the weights that a quantised checkpoint needs as well: tokenizer, chat template, generation settings,
/// licence and card. Weights in other formats, code and what training left behind stay.
/// </summary>
public static class CarriedFiles
{
    public const string GenerationConfig = "generation_config.json";

    /// <summary>Folder of further chat templates, as transformers writes it.</summary>
    private const string TemplateFolder = "additional_chat_templates";

    private static readonly string[] Extensions = [".json", ".txt", ".jinja", ".model", ".tiktoken", ".md", ".vocab", ".spm"];

    private static readonly string[] Documents = ["LICENSE", "LICENCE", "NOTICE", "COPYING", "USE_POLICY", "README"];

    private static readonly string[] Excluded =
    [
        ModelFolder.ConfigFile, "quantize_config.json", "quant_config.json", "params.json", "trainer_state.json",
        "train_results.json", "eval_results.json", "all_results.json", "adapter_config.json", "hf_quant_config.json", "requirements.txt",
    ];

    // Settings that only sampling uses, with the value that stands for "not set".
    private static readonly (string Name, double Neutral)[] SamplingSettings =
    [
        ("temperature", 1), ("top_p", 1), ("top_k", 50), ("min_p", double.NaN), ("typical_p", 1), ("epsilon_cutoff", 0), ("eta_cutoff", 0),
    ];

    /// <summary>The files to carry, as paths relative to the model folder with <c>/</c>, in a fixed order.</summary>
    /// <exception cref="AwqException">The folder cannot be read.</exception>
    public static IReadOnlyList<string> Find(string modelFolder)
    {
        try
        {
            var names = Directory.EnumerateFiles(modelFolder).Select(f => Path.GetFileName(f)).Where(IsCarried);
            var templates = Path.Combine(modelFolder, TemplateFolder);
            if (Directory.Exists(templates))
                names = names.Concat(Directory.EnumerateFiles(templates, "*.jinja").Select(f => $"{TemplateFolder}/{Path.GetFileName(f)}"));
            return [.. names.Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw FileErrors.OnRead(e, modelFolder);
        }
    }

    /// <summary>Copies them, links as what they point to; generation settings are made consistent on the way.</summary>
    /// <returns>The relative paths that were copied.</returns>
    /// <exception cref="AwqException">A file cannot be read or written.</exception>
    public static IReadOnlyList<string> Copy(string modelFolder, string destination)
    {
        var files = Find(modelFolder);
        foreach (var file in files)
        {
            var from = Path.Combine(modelFolder, file);
            var to = Path.Combine(destination, file);
            if (file == GenerationConfig)
            {
                AtomicFile.WriteText(to, PythonJson.Write(MakeConsistent(PythonJson.ReadObject(from))));
                continue;
            }
            byte[] bytes;
            try
            {
                bytes = File.ReadAllBytes(from);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw FileErrors.OnRead(e, from);
            }
            try
            {
                Directory.CreateDirectory(Path.GetDirectoryName(to)!);
                File.WriteAllBytes(to, bytes);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw FileErrors.OnWrite(e, to);
            }
        }
        return files;
    }

    /// <summary>Whether a file of this name, lying directly in the model folder, is carried over.</summary>
    public static bool IsCarried(string name)
    {
        if (name.StartsWith('.') || Excluded.Contains(name, StringComparer.OrdinalIgnoreCase) || name.EndsWith(".index.json", StringComparison.OrdinalIgnoreCase))
            return false;
        return Extensions.Contains(Path.GetExtension(name), StringComparer.OrdinalIgnoreCase)
            || Documents.Any(d => name.StartsWith(d, StringComparison.OrdinalIgnoreCase) && Path.GetExtension(name).ToLowerInvariant() is not (".py" or ".bin" or ".safetensors"));
    }

    /// <summary>
    /// Switches sampling on where sampling values are set and it is off: transformers refuses to save such a file again.
    /// </summary>
    public static JsonObject MakeConsistent(JsonObject generation)
    {
        var samples = generation["do_sample"] is JsonValue flag && flag.TryGetValue<bool>(out var on) && on;
        if (!samples && SamplingSettings.Any(s => IsSet(generation[s.Name], s.Neutral)))
            generation["do_sample"] = true;
        return generation;
    }

    private static bool IsSet(JsonNode? node, double neutral) =>
        node is JsonValue value && value.TryGetValue<double>(out var number) && number != neutral;
}
