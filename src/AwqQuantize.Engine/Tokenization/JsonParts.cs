using System.Text.Json;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Reads values out of a tokenizer file's JSON, with errors that name where they stand.</summary>
internal static class JsonParts
{
    public static string TypeOf(JsonElement part, string where) => Text(part, "type", where);

    public static string Text(JsonElement part, string name, string where) =>
        OptionalText(part, name) ?? throw TokenizerErrors.Invalid($"{where} lacks the string '{name}'");

    public static string? OptionalText(JsonElement part, string name) =>
        part.ValueKind == JsonValueKind.Object && part.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? Unescaped(value) : null;

    public static bool Flag(JsonElement part, string name, bool otherwise) =>
        OptionalFlag(part, name) ?? otherwise;

    public static bool? OptionalFlag(JsonElement part, string name) =>
        part.ValueKind == JsonValueKind.Object && part.TryGetProperty(name, out JsonElement value)
            ? value.ValueKind switch { JsonValueKind.True => true, JsonValueKind.False => false, _ => null }
            : null;

    public static int Count(JsonElement part, string name, string where, int? otherwise = null) =>
        part.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= 0
            ? number
            : otherwise ?? throw TokenizerErrors.Invalid($"{where} lacks the number '{name}'");

    public static IEnumerable<JsonElement> List(JsonElement part, string name, string where) =>
        part.ValueKind == JsonValueKind.Object && part.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Array
            ? value.EnumerateArray()
            : throw TokenizerErrors.Invalid($"{where} lacks the list '{name}'");

    public static string Unescaped(JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException error)
        {
            throw TokenizerErrors.Invalid("a string in it is not Unicode", error);
        }
    }

    /// <summary>A file's JSON as a tree; for small files.</summary>
    public static JsonElement ReadFile(string path) => ReadFile(path, static json => JsonElement.Parse(json));

    /// <summary>Gives a file's bytes to what reads them, and says which file it is that is malformed.</summary>
    public static T ReadFile<T>(string path, MappedFile.Reading<T> read)
    {
        try
        {
            return MappedFile.Read(path, read);
        }
        catch (JsonException error)
        {
            throw TokenizerErrors.Invalid($"'{path}' is not JSON ({error.Message})", error);
        }
        catch (InvalidOperationException error)
        {
            throw TokenizerErrors.Invalid($"'{path}' holds a value of the wrong kind ({error.Message})", error);
        }
    }
}
