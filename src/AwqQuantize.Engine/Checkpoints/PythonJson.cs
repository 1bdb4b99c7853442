using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// JSON as Python's <c>json</c> module reads and writes it: with the literals <c>NaN</c>, <c>Infinity</c> and
/// <c>-Infinity</c>. In the tree these are doubles; every other number keeps its spelling.
/// </summary>
public static class PythonJson
{
    /// <summary>Configs are kilobytes and tokenizers some 30 MB: anything much larger is not what it says it is.</summary>
    public const long MaxByteLength = 256L << 20;

    private const int MaxDepth = 64;

    // No config has a string that starts with NUL; the mark is an escape, for a raw one is not JSON.
    private const string Mark = "\\u0000";

    private static readonly string[] Literals = ["-Infinity", "Infinity", "NaN"];

    /// <summary>Reads a file that holds one JSON object.</summary>
    /// <exception cref="AwqException">The file is missing, unreadable, too large, or not such an object.</exception>
    public static JsonObject ReadObject(string path)
    {
        byte[] bytes;
        try
        {
            var length = new FileInfo(path).Length;
            if (length > MaxByteLength)
            {
                throw new AwqException("JsonTooLarge", AwqErrorKind.LimitExceeded,
                    $"'{path}' has {length} bytes, and {MaxByteLength} are the most that such a file may have.",
                    "Check that this is the file that it should be.");
            }
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception e)
        {
            throw FileErrors.OnRead(e, path);
        }
        return ParseObject(bytes, path);
    }

    /// <param name="utf8">The text, with or without a byte-order mark.</param>
    /// <param name="path">Named in messages.</param>
    /// <exception cref="AwqException"><c>JsonInvalid</c>.</exception>
    public static JsonObject ParseObject(ReadOnlySpan<byte> utf8, string path)
    {
        if (utf8.StartsWith("\uFEFF"u8))
            utf8 = utf8[3..];
        var (text, replaced) = ReplaceLiterals(utf8);
        try
        {
            using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MaxDepth, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw Invalid(path, "it is not a JSON object", null);
            var root = JsonObject.Create(document.RootElement.Clone())!;
            if (replaced)
                RestoreLiterals(root);
            return root;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            throw Invalid(path, e.Message, e);
        }
    }

    /// <summary>Indented text with <c>\n</c> line ends and one at the end; the same tree gives the same text everywhere.</summary>
    public static string Write(JsonNode? node)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions
        {
            Indented = true,
            NewLine = "\n",
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        }))
            WriteNode(writer, node);
        buffer.WriteByte((byte)'\n');
        var text = Encoding.UTF8.GetString(buffer.ToArray());
        foreach (var literal in Literals)
            text = text.Replace($"\"{Mark}{literal}\"", literal, StringComparison.Ordinal);
        return text;
    }

    private static void WriteNode(Utf8JsonWriter writer, JsonNode? node)
    {
        switch (node)
        {
            case JsonObject properties:
                writer.WriteStartObject();
                foreach (var (name, value) in properties)
                {
                    writer.WritePropertyName(name);
                    WriteNode(writer, value);
                }
                writer.WriteEndObject();
                break;
            case JsonArray items:
                writer.WriteStartArray();
                foreach (var item in items)
                    WriteNode(writer, item);
                writer.WriteEndArray();
                break;
            case JsonValue value when value.GetValueKind() == JsonValueKind.Number
                && value.TryGetValue<double>(out var number) && !double.IsFinite(number) && !value.TryGetValue<JsonElement>(out _):
                writer.WriteStringValue("\0" + (double.IsNaN(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity"));
                break;
            case null:
                writer.WriteNullValue();
                break;
            default:
                node.WriteTo(writer);
                break;
        }
    }

    /// <summary>Puts the literals into marked strings, so that a JSON parser takes them.</summary>
    private static (ReadOnlyMemory<byte> Text, bool Replaced) ReplaceLiterals(ReadOnlySpan<byte> utf8)
    {
        if (utf8.IndexOf("NaN"u8) < 0 && utf8.IndexOf("Infinity"u8) < 0)
            return (utf8.ToArray(), false);
        using var result = new MemoryStream(utf8.Length + 64);
        var inString = false;
        var replaced = false;
        for (var i = 0; i < utf8.Length; i++)
        {
            var c = utf8[i];
            if (inString && c == '\\' && i + 1 < utf8.Length)
            {
                result.Write(utf8.Slice(i++, 2));
                continue;
            }
            if (c == '"')
                inString = !inString;
            if (!inString && c is (byte)'N' or (byte)'I' or (byte)'-' && LiteralAt(utf8[i..]) is { } literal)
            {
                result.Write(Encoding.UTF8.GetBytes($"\"{Mark}{literal}\""));
                i += literal.Length - 1;
                replaced = true;
                continue;
            }
            result.WriteByte(c);
        }
        return (result.ToArray(), replaced);
    }

    private static string? LiteralAt(ReadOnlySpan<byte> text)
    {
        foreach (var literal in Literals)
        {
            if (text.Length >= literal.Length && Encoding.ASCII.GetString(text[..literal.Length]) == literal)
                return literal;
        }
        return null;
    }

    private static void RestoreLiterals(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject properties:
                foreach (var name in properties.Select(p => p.Key).ToArray())
                {
                    if (Restored(properties[name]) is { } value)
                        properties[name] = value;
                    else
                        RestoreLiterals(properties[name]);
                }
                break;
            case JsonArray items:
                for (var i = 0; i < items.Count; i++)
                {
                    if (Restored(items[i]) is { } value)
                        items[i] = value;
                    else
                        RestoreLiterals(items[i]);
                }
                break;
        }
    }

    private static JsonValue? Restored(JsonNode? node)
    {
        if (node is not JsonValue value || !value.TryGetValue<string>(out var text) || !text.StartsWith('\0'))
            return null;
        return text[1..] switch
        {
            "NaN" => JsonValue.Create(double.NaN),
            "Infinity" => JsonValue.Create(double.PositiveInfinity),
            "-Infinity" => JsonValue.Create(double.NegativeInfinity),
            _ => null,
        };
    }

    private static AwqException Invalid(string path, string what, Exception? inner) =>
        new("JsonInvalid", AwqErrorKind.InvalidData, $"'{path}' cannot be read as JSON: {what.TrimEnd('.')}.",
            "Repair the file, or download it again.", inner);
}
