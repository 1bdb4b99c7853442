using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tokenization.Jinja;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// A model's chat template: writes messages as the text that the model was trained on. The text already holds the special
/// tokens; encode it with <c>addSpecialTokens: false</c>. It may be used by any number of threads at once.
/// </summary>
public sealed class ChatTemplate
{
    // Templates that ask for the date get always the same one, so that a run can be repeated: Llama 3's own default.
    private static readonly DateTime Today = new(2024, 7, 26);

    private static readonly string[] SpecialTokenNames = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

    private readonly JinjaTemplate template;
    private readonly IReadOnlyList<KeyValuePair<string, object?>> specialTokens;

    internal ChatTemplate(string source, IReadOnlyList<KeyValuePair<string, object?>> specialTokens)
    {
        template = new JinjaTemplate(source);
        this.specialTokens = specialTokens;
    }

    /// <summary>
    /// Reads the template of a model folder: chat_template.jinja, chat_template.json or tokenizer_config.json, of several
    /// the one named <c>default</c>.
    /// </summary>
    /// <returns>Null where the folder has none.</returns>
    /// <exception cref="AwqException"><c>ChatTemplateInvalid</c>, <c>ChatTemplatePartNotSupported</c> or <c>TokenizerInvalid</c>.</exception>
    public static ChatTemplate? Load(string modelFolder)
    {
        TransformersConfig config = TransformersConfig.Read(modelFolder);
        string? source = ReadSource(modelFolder);
        if (source is null)
        {
            return null;
        }

        var tokens = new List<KeyValuePair<string, object?>>();
        foreach (string name in SpecialTokenNames)
        {
            if (config.SpecialToken(name) is { } token)
            {
                tokens.Add(new(name, token));
            }
        }

        return new ChatTemplate(source, tokens);
    }

    /// <summary>The text of a conversation.</summary>
    /// <param name="messages">Objects with <c>role</c> and <c>content</c>, and whatever else the template knows.</param>
    /// <param name="addGenerationPrompt">Whether to end with the beginning of the assistant's answer.</param>
    /// <exception cref="AwqException">
    /// <c>ChatTemplateRejectsMessages</c> where the template itself refuses them (roles out of order, for instance);
    /// <c>ChatTemplateInvalid</c> or <c>ChatTemplatePartNotSupported</c> where it cannot be run.
    /// </exception>
    public string Apply(JsonArray messages, bool addGenerationPrompt)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return template.Render(
        [
            .. specialTokens,
            new("messages", JinjaValue.FromJson(messages)),
            new("add_generation_prompt", addGenerationPrompt),
            new("tools", null),
            new("documents", null),
        ], Today);
    }

    private static string? ReadSource(string folder)
    {
        string file = Path.Combine(folder, "chat_template.jinja");
        if (File.Exists(file))
        {
            return Encoding.UTF8.GetString(File.ReadAllBytes(file));
        }

        foreach (string name in (string[])["chat_template.json", "tokenizer_config.json"])
        {
            string path = Path.Combine(folder, name);
            if (File.Exists(path) && JsonParts.ReadFile(path) is { ValueKind: JsonValueKind.Object } json && json.TryGetProperty("chat_template", out JsonElement template)
                && Choose(template) is { } source)
            {
                return source;
            }
        }

        return null;
    }

    private static string? Choose(JsonElement template) => template.ValueKind switch
    {
        JsonValueKind.String => JsonParts.Unescaped(template),
        JsonValueKind.Array => template.EnumerateArray().Where(entry => JsonParts.OptionalText(entry, "name") == "default")
            .Select(entry => JsonParts.OptionalText(entry, "template")).FirstOrDefault(),
        _ => null,
    };
}
