using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>What the value of a key of a description may be.</summary>
internal enum FieldKind
{
    /// <summary>A name: literal, or an expression if it starts with <c>$</c> or <c>=</c>.</summary>
    Name,

    /// <summary>A number or an expression.</summary>
    Number,

    /// <summary>true, false or an expression.</summary>
    Flag,

    /// <summary>An expression that gives an object.</summary>
    Value,

    /// <summary>One of <see cref="Field.Values"/>, or an expression.</summary>
    Keyword,

    /// <summary>A nested object, or a list of which the first whose <c>when</c> holds counts.</summary>
    Object,

    /// <summary>The name of a norm's module, or an object.</summary>
    Norm,

    /// <summary>One string or a list of strings, literal.</summary>
    Strings,

    /// <summary>An object with keys of any name.</summary>
    Map,
}

/// <summary>A key of a description.</summary>
internal sealed record Field(string Key, FieldKind Kind, string Meaning, bool Required = false, string? Node = null, string[]? Values = null);

/// <summary>The form of a description, as data: the reader's check and the published JSON schema both come from it.</summary>
internal static partial class DescriptionGrammar
{
    /// <summary>Checks keys and the kinds of their values. With <paramref name="partial"/>, required keys may still come from another file.</summary>
    /// <exception cref="AwqException"><c>ArchitectureInvalid</c>, naming file, key and what was expected.</exception>
    public static void Check(JsonObject json, string file, bool partial) => CheckObject(json, "root", "", file, partial);

    private static void CheckObject(JsonObject json, string node, string path, string file, bool partial)
    {
        var fields = Nodes[node];
        if (node == "block")
        {
            if (json["kind"] is JsonValue v && v.TryGetValue(out string? kind))
            {
                if (!BlockKinds.Contains(kind))
                    throw Description.Invalid(file, $"'{path}.kind': '{kind}' is none of {string.Join(", ", BlockKinds)}");
                fields = [.. fields, .. Nodes[$"block:{kind}"]];
            }
            else if (partial)
                fields = [.. fields, .. BlockKinds.SelectMany(k => Nodes[$"block:{k}"])];
            else
                throw Description.Invalid(file, $"'{path}.kind' is missing; expected one of {string.Join(", ", BlockKinds)}");
        }
        foreach (var (key, value) in json)
        {
            var where = path.Length == 0 ? key : $"{path}.{key}";
            // A block of another kind may share a key's name with another meaning; the first that fits counts.
            var candidates = fields.Where(f => f.Key == key).ToList();
            // A patch may remove what a block of another kind had.
            if (value is null && partial && node == "block" && Nodes.Any(n => n.Key.StartsWith("block", StringComparison.Ordinal) && n.Value.Any(f => f.Key == key)))
                continue;
            if (candidates.Count == 0 && !(path.Length > 0 && key == "when") && key is not ("$schema" or "comment"))
                throw Description.Invalid(file, $"'{where}' is not known here; expected one of {string.Join(", ", fields.Select(f => f.Key).Distinct())}");
            if (value is not null && candidates.Count > 0)
                CheckValue(value, candidates[0], where, file, partial);
        }
        if (!partial && fields.FirstOrDefault(f => f.Required && json[f.Key] is null) is { } missing)
            throw Description.Invalid(file, $"'{(path.Length == 0 ? "" : path + ".")}{missing.Key}' is missing: {missing.Meaning}");
    }

    private static void CheckValue(JsonNode value, Field field, string where, string file, bool partial)
    {
        string? text = null;
        var isText = value is JsonValue v && v.TryGetValue(out text);
        var isExpression = isText && (field.Kind is FieldKind.Number or FieldKind.Flag or FieldKind.Value || text is ['$', ..] or ['=', ..]);
        if (isExpression)
        {
            try
            {
                Expression.Parse(text!);
            }
            catch (FormatException e)
            {
                throw Description.Invalid(file, $"'{where}': {e.Message}");
            }
            return;
        }
        var fits = field.Kind switch
        {
            FieldKind.Name => isText,
            FieldKind.Number => value.GetValueKind() == System.Text.Json.JsonValueKind.Number,
            FieldKind.Flag => value.GetValueKind() is System.Text.Json.JsonValueKind.True or System.Text.Json.JsonValueKind.False,
            FieldKind.Keyword => isText && field.Values!.Contains(text),
            FieldKind.Strings => isText || value is JsonArray a && a.All(e => e is JsonValue s && s.TryGetValue(out string? _)),
            FieldKind.Object => value is JsonObject || value is JsonArray { Count: > 0 } list && list.All(e => e is JsonObject),
            FieldKind.Norm => isText || value is JsonObject || value is JsonArray { Count: > 0 } norms && norms.All(e => e is JsonObject),
            FieldKind.Map => value is JsonObject,
            _ => false,
        };
        if (!fits)
        {
            throw Description.Invalid(file, $"'{where}': {value.ToJsonString()} is not {Expected(field)}");
        }
        foreach (var child in value is JsonArray many ? many.OfType<JsonObject>() : value is JsonObject one ? [one] : [])
        {
            switch (field.Kind)
            {
                case FieldKind.Norm:
                    CheckObject(child, field.Node ?? "norm", where, file, partial);
                    break;
                case FieldKind.Object:
                    CheckObject(child, field.Node!, where, file, partial);
                    break;
                case FieldKind.Map when field.Node is not null:
                    foreach (var (key, entry) in child)
                    {
                        if (entry is not null)
                            CheckValue(entry, new Field(key, FieldKind.Object, field.Meaning, Node: field.Node), $"{where}.{key}", file, partial);
                    }
                    break;
            }
        }
    }

    private static string Expected(Field field) => field.Kind switch
    {
        FieldKind.Name => "a string",
        FieldKind.Number => "a number or an expression",
        FieldKind.Flag => "true, false or an expression",
        FieldKind.Value => "an expression",
        FieldKind.Keyword => $"one of {string.Join(", ", field.Values!)}",
        FieldKind.Strings => "a string or a list of strings",
        FieldKind.Norm => "the name of a norm, or an object",
        _ => "an object",
    };
}
