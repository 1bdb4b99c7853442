using System.Text.Json;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Calibration;

/// <summary>
/// JSON lines, or a JSON array, of strings or of objects with <c>text</c>, <c>messages</c> (written by the model's chat template) or
/// <c>input_ids</c>.
/// </summary>
internal static class JsonLinesDocuments
{
    /// <summary>Token ids of each document.</summary>
    /// <param name="file">The file.</param>
    /// <param name="encoder">The model's tokenizer and chat template.</param>
    public static IEnumerable<IReadOnlyList<int>> Read(string file, DocumentEncoder encoder)
    {
        var number = 0;
        foreach (var entry in Entries(file))
        {
            number++;
            yield return entry switch
            {
                JsonValue value when value.TryGetValue<string>(out var text) => encoder.Encode(text),
                JsonObject { } document when document["text"] is JsonValue value && value.TryGetValue<string>(out var text) => encoder.Encode(text),
                JsonObject { } document when document["messages"] is JsonArray messages => encoder.Encode(messages),
                JsonObject { } document when document["input_ids"] is JsonArray ids => Ids(ids, file, number),
                _ => throw Invalid(file, number, "it is neither a string nor an object with \"text\", \"messages\" or \"input_ids\"", null),
            };
        }
    }

    private static IEnumerable<JsonNode?> Entries(string file)
    {
        var options = new JsonDocumentOptions { MaxDepth = 64 };
        if (file.EndsWith(".json", StringComparison.OrdinalIgnoreCase))
        {
            foreach (var node in Parse(() => JsonNode.Parse(File.ReadAllBytes(file), documentOptions: options) as JsonArray
                ?? throw new JsonException("it is no array"), file, 1))
                yield return node;
            yield break;
        }
        var number = 0;
        foreach (var line in File.ReadLines(file))
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line))
                yield return Parse(() => JsonNode.Parse(line, documentOptions: options), file, number);
        }
    }

    private static T Parse<T>(Func<T> parse, string file, int line)
    {
        try
        {
            return parse();
        }
        catch (JsonException e)
        {
            throw Invalid(file, line, e.Message, e);
        }
    }

    private static int[] Ids(JsonArray ids, string file, int entry)
    {
        var result = new int[ids.Count];
        for (var i = 0; i < result.Length; i++)
            if (ids[i] is not JsonValue value || !value.TryGetValue(out result[i]))
                throw Invalid(file, entry, "\"input_ids\" holds something else than integers", null);
        return result;
    }

    private static AwqException Invalid(string file, int entry, string why, Exception? inner) => new("CalibrationDataInvalid", AwqErrorKind.InvalidData,
        $"Entry {entry} of '{file}' cannot be used: {why}.", "Give one JSON value per line: a string, or an object with \"text\", \"messages\" or \"input_ids\".", inner);
}
