using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Publishing;

/// <summary>A server's answer, completely read.</summary>
internal sealed record HttpAnswer(int Status, HttpResponseHeaders Headers, HttpContentHeaders ContentHeaders, byte[] Body)
{
    public bool IsSuccess => Status is >= 200 and < 300;

    /// <summary>First value of a header, or null.</summary>
    public string? Header(string name) =>
        Headers.TryGetValues(name, out var values) || ContentHeaders.TryGetValues(name, out values) ? values.FirstOrDefault() : null;

    /// <summary>The body as JSON, or null where it is none.</summary>
    public JsonNode? Json()
    {
        try
        {
            return Body.Length == 0 ? null : JsonNode.Parse(Body, documentOptions: new JsonDocumentOptions { MaxDepth = 32 });
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>What the server says went wrong, in one line.</summary>
    /// <param name="hide">Takes secrets out; before the text is cut, for half a secret would not be recognised.</param>
    public string ErrorText(Func<string, string> hide)
    {
        var text = Header("X-Error-Message");
        if (text is null && Json() is JsonObject json)
        {
            text = json["error"] is JsonValue error ? error.ToString() : json["message"]?.ToString();
            // The form of OCI registries.
            if (json["errors"] is JsonArray { Count: > 0 } errors && errors[0] is JsonObject first)
                text = $"{first["code"]}: {first["message"]}";
        }
        text = hide(text ?? Encoding.UTF8.GetString(Body, 0, Math.Min(Body.Length, 1 << 16)));
        text = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return text.Length == 0 ? $"status {Status}" : $"status {Status}, {(text.Length > 300 ? text[..300] + "…" : text)}";
    }
}
