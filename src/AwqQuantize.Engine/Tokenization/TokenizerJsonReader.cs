using System.Text.Json;
using AwqQuantize.Engine.Tokenization.Decoders;
using AwqQuantize.Engine.Tokenization.Models;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// Reads tokenizer.json. What it does not know it refuses by name. <c>truncation</c> and <c>padding</c> are left out:
/// they shape batches, not texts.
/// </summary>
internal static class TokenizerJsonReader
{
    private static readonly string[] Known =
        ["version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"];

    public static TokenizerDefinition Read(string path) => JsonParts.ReadFile(path, Read);

    /// <summary>Reads the file's bytes; malformed JSON is a <see cref="JsonException"/>.</summary>
    public static TokenizerDefinition Read(ReadOnlySpan<byte> json)
    {
        var parts = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        TokenModel? model = null;
        var reader = new Utf8JsonReader(json);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw TokenizerErrors.Invalid("the file is not a JSON object");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == "model")
            {
                model = new ModelReader(json.Length).Read(ref reader);
            }
            else if (Known.Contains(name))
            {
                parts[name] = JsonElement.ParseValue(ref reader);
            }
            else
            {
                reader.Skip();
            }
        }

        while (reader.Read())
        {
        }

        if (model is null)
        {
            throw TokenizerErrors.Invalid("the file has no 'model'");
        }

        if (Part(parts, "version") is { } version && version.ValueEquals("1.0") is false)
        {
            throw TokenizerErrors.NotSupported($"version {version.GetRawText()} of the file format");
        }

        return new TokenizerDefinition
        {
            Model = model,
            AddedTokens = ReadAddedTokens(Part(parts, "added_tokens")),
            Normalizer = NormalizerReader.Read(Part(parts, "normalizer")),
            PreTokenizer = PreTokenizerReader.Read(Part(parts, "pre_tokenizer"), Part(parts, "normalizer")),
            Template = TemplateReader.Read(Part(parts, "post_processor")),
            Decoder = Part(parts, "decoder") is { } decoder ? DecoderReader.Read(decoder) : null,
        };
    }

    /// <param name="where">For errors.</param>
    public static AddedToken ReadAddedToken(JsonElement token, string where) => new(
        JsonParts.Text(token, "content", where),
        JsonParts.Flag(token, "single_word", false),
        JsonParts.Flag(token, "lstrip", false),
        JsonParts.Flag(token, "rstrip", false),
        JsonParts.Flag(token, "normalized", true),
        JsonParts.Flag(token, "special", false));

    private static List<AddedToken> ReadAddedTokens(JsonElement? tokens) =>
        tokens is not { } list ? []
        : list.ValueKind != JsonValueKind.Array ? throw TokenizerErrors.Invalid("'added_tokens' is not a list")
        : [.. list.EnumerateArray().Select(token => ReadAddedToken(token, "an added token"))];

    private static JsonElement? Part(Dictionary<string, JsonElement> parts, string name) =>
        parts.TryGetValue(name, out JsonElement part) && part.ValueKind != JsonValueKind.Null ? part : null;
}
