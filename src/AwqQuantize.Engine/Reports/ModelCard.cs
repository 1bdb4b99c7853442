using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Reports;

/// <summary>
/// Writes the card of a quantised model: where it comes from, how it was quantised, what that cost, and how to load it.
/// Licence, language and task are carried over from the source's card, whose text follows at the end.
/// </summary>
public static class ModelCard
{
    private const string CardFile = "README.md";
    private static readonly string[] Carried = ["license", "license_name", "license_link", "language", "datasets"];

    /// <param name="folder">The quantised checkpoint.</param>
    /// <exception cref="AwqException">The folder holds no readable, quantised checkpoint.</exception>
    public static string Create(string folder, ModelCardFacts facts)
    {
        using var model = ModelFolder.Open(folder);
        var quantization = model.Config.Root["quantization_config"] as JsonObject ?? throw new AwqException("ModelCardNotQuantized",
            AwqErrorKind.InvalidArgument, $"'{folder}' holds no quantised model.", "Give the folder that Invoke-AwqQuantization wrote.");
        var name = facts.Name ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(model.Path));
        var source = CardFrontMatter.Parse(ReadSource(folder));
        var card = new StringBuilder();
        WriteFrontMatter(card, facts, source);
        card.Append(CultureInfo.InvariantCulture, $"\n# {name}\n\n");
        card.Append(facts.BaseModel is null ? "A 4-bit AWQ checkpoint" : $"[{facts.BaseModel}](https://huggingface.co/{facts.BaseModel}) as a 4-bit AWQ checkpoint");
        card.Append(", made with AwqQuantize. It loads in vLLM, transformers and SGLang.\n");
        WriteSettings(card, model, quantization, facts);
        WriteEvaluation(card, facts);
        WriteUse(card, name);
        var text = source.Body.Trim();
        if (text.Length > 0)
            card.Append("\n---\n\nThe card of the original model follows.\n\n").Append(text).Append('\n');
        return card.ToString();
    }

    private static string ReadSource(string folder)
    {
        var path = Path.Combine(folder, CardFile);
        try
        {
            return File.Exists(path) ? File.ReadAllText(path) : "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw FileErrors.OnRead(e, path);
        }
    }

    private static void WriteFrontMatter(StringBuilder card, ModelCardFacts facts, CardFrontMatter source)
    {
        card.Append("---\n");
        if (facts.BaseModel is not null)
            card.Append("base_model: ").Append(Quoted(facts.BaseModel)).Append("\nbase_model_relation: quantized\n");
        card.Append("library_name: transformers\n");
        foreach (var line in source.Entry("pipeline_tag") ?? ["pipeline_tag: text-generation"])
            card.Append(line).Append('\n');
        foreach (var line in Carried.SelectMany(key => source.Entry(key) ?? []))
            card.Append(line).Append('\n');
        card.Append("tags:\n- awq\n- 4-bit\n- quantized\n---\n");
    }

    private static void WriteSettings(StringBuilder card, ModelFolder model, JsonObject quantization, ModelCardFacts facts)
    {
        var excluded = quantization["modules_to_not_convert"] is JsonArray { Count: > 0 } modules
            ? string.Join(", ", modules.Select(m => Code(m?.ToString() ?? ""))) : "none";
        card.Append("\n## Quantisation\n\n| | |\n|---|---|\n");
        Row(card, "Format", $"AWQ, {quantization["version"] ?? "gemm"} layout");
        Row(card, "Bits", $"{quantization["bits"]}, with zero points");
        Row(card, "Group size", $"{quantization["group_size"]}");
        Row(card, "Linears that stay float", excluded);
        Row(card, "Size of the weights", string.Create(CultureInfo.InvariantCulture, $"{model.ByteSize / 1e9:0.00} GB"));
        foreach (var (setting, value) in facts.Settings)
            Row(card, Cell(setting), Cell(value));
    }

    private static void WriteEvaluation(StringBuilder card, ModelCardFacts facts)
    {
        if (facts.Evaluations.Count == 0)
            return;
        card.Append("\n## Evaluation\n\nPerplexity of the original and of this model, and the mean KL divergence between their predictions.\n\n");
        card.Append("| text | original | this model | KL (nats) |\n|---|---|---|---|\n");
        foreach (var evaluation in facts.Evaluations)
        {
            card.Append(CultureInfo.InvariantCulture,
                $"| {Cell(evaluation.Text)} | {evaluation.SourcePerplexity:0.000} | {evaluation.Perplexity:0.000} | {(evaluation.KlDivergence is { } kl ? kl.ToString("0.0000", CultureInfo.InvariantCulture) : "")} |\n");
        }
    }

    private static void WriteUse(StringBuilder card, string name) => card.Append($"""

        ## Use

        ```bash
        vllm serve {name}
        ```

        ```python
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained("{name}")
        model = AutoModelForCausalLM.from_pretrained("{name}", device_map="auto")
        ```

        ```bash
        python -m sglang.launch_server --model-path {name}
        ```

        """.ReplaceLineEndings("\n"));

    private static void Row(StringBuilder card, string name, string value) => card.Append("| ").Append(name).Append(" | ").Append(value).Append(" |\n");

    // A pipe or a line end would break the table.
    private static string Cell(string text) => text.ReplaceLineEndings(" ").Replace("|", "\\|", StringComparison.Ordinal);

    private static string Code(string text) => $"`{Cell(text).Replace("`", "'", StringComparison.Ordinal)}`";

    private static string Quoted(string text) => $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
}
