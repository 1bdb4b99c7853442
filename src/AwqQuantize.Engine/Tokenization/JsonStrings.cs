using System.Globalization;
using System.Text;
using System.Text.Json;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Reads a JSON array of strings, also such that hold lone surrogates, which JSON can write and .NET's reader refuses.</summary>
public static class JsonStrings
{
    /// <param name="json">UTF-8.</param>
    /// <exception cref="JsonException">It is no JSON array of strings.</exception>
    public static List<string> Read(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
        {
            throw new JsonException("it is not an array");
        }

        var strings = new List<string>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            strings.Add(reader.TokenType == JsonTokenType.String ? Text(ref reader) : throw new JsonException($"item {strings.Count} is not a string"));
        }

        return reader.Read() ? throw new JsonException("something follows the array") : strings;
    }

    private static string Text(ref Utf8JsonReader reader)
    {
        ReadOnlySpan<byte> raw = reader.ValueSpan;
        if (!reader.ValueIsEscaped || !raw.Contains((byte)'u'))
        {
            return reader.GetString()!;
        }

        // The reader has checked the syntax: after a backslash stands one character, or a 'u' and four digits.
        string escaped = Encoding.UTF8.GetString(raw);
        var text = new StringBuilder(escaped.Length);
        for (int i = 0; i < escaped.Length; i++)
        {
            if (escaped[i] != '\\')
            {
                text.Append(escaped[i]);
                continue;
            }

            char kind = escaped[++i];
            if (kind == 'u')
            {
                text.Append((char)ushort.Parse(escaped.AsSpan(i + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
                i += 4;
            }
            else
            {
                text.Append(kind switch { 'n' => '\n', 'r' => '\r', 't' => '\t', 'b' => '\b', 'f' => '\f', _ => kind });
            }
        }

        return text.ToString();
    }
}
