using System.Text.Json;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Reads the <c>post_processor</c> of tokenizer.json, as far as it adds tokens to one sequence.</summary>
internal static class TemplateReader
{
    private const string Where = "the post-processor";

    public static TokenTemplate Read(JsonElement? part) => part is { } given ? Read(given) : TokenTemplate.None;

    private static TokenTemplate Read(JsonElement part) => JsonParts.TypeOf(part, Where) switch
    {
        "ByteLevel" => TokenTemplate.None,
        "Sequence" => JsonParts.List(part, "processors", Where).Select(Read).Aggregate(TokenTemplate.None, (inner, outer) => outer.Around(inner)),
        "BertProcessing" or "RobertaProcessing" => new TokenTemplate([ReadId(part, "cls")], [ReadId(part, "sep")]),
        "TemplateProcessing" => ReadTemplate(part),
        string type => throw TokenizerErrors.NotSupported($"the post-processor '{type}'"),
    };

    private static TokenTemplate ReadTemplate(JsonElement part)
    {
        var prefix = new List<int>();
        var suffix = new List<int>();
        bool seen = false;
        foreach (JsonElement item in JsonParts.List(part, "single", Where))
        {
            if (item.TryGetProperty("Sequence", out JsonElement sequence))
            {
                if (seen || JsonParts.Text(sequence, "id", Where) != "A")
                {
                    throw TokenizerErrors.NotSupported("a template for one sequence that holds more than one");
                }

                seen = true;
            }
            else if (item.TryGetProperty("SpecialToken", out JsonElement special))
            {
                (seen ? suffix : prefix).AddRange(ReadIds(part, JsonParts.Text(special, "id", Where)));
            }
            else
            {
                throw TokenizerErrors.NotSupported($"the template part {item.GetRawText()}");
            }
        }

        return seen ? new TokenTemplate([.. prefix], [.. suffix]) : throw TokenizerErrors.NotSupported("a template without the text");
    }

    private static IEnumerable<int> ReadIds(JsonElement part, string name)
    {
        if (part.TryGetProperty("special_tokens", out JsonElement tokens) && tokens.ValueKind == JsonValueKind.Object && tokens.TryGetProperty(name, out JsonElement token))
        {
            foreach (JsonElement id in JsonParts.List(token, "ids", Where))
            {
                yield return AsId(id);
            }

            yield break;
        }

        throw TokenizerErrors.Invalid($"the template's special token '{name}' is not declared");
    }

    private static int ReadId(JsonElement part, string name) =>
        part.TryGetProperty(name, out JsonElement pair) && pair.ValueKind == JsonValueKind.Array && pair.GetArrayLength() == 2
            ? AsId(pair[1])
            : throw TokenizerErrors.Invalid($"{Where} lacks its '{name}'");

    private static int AsId(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int id) && id >= 0 ? id
            : throw TokenizerErrors.Invalid($"{Where} holds something that is not a token id");
}
