using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>
/// The JSON schema of descriptions, for editors: made from <see cref="DescriptionGrammar"/> and published beside the descriptions.
/// It does not ask for keys that may come from another file, and does not parse expressions; the reader does both.
/// </summary>
internal static class DescriptionSchema
{
    public const string File = "architecture.schema.json";

    public static JsonObject Make()
    {
        var definitions = new JsonObject();
        foreach (var (node, fields) in DescriptionGrammar.Nodes)
        {
            if (node is not "root" && !node.StartsWith("block", StringComparison.Ordinal))
                definitions[node] = Node(fields, hasWhen: true);
        }
        var common = DescriptionGrammar.Nodes["block"];
        definitions["block"] = new JsonObject
        {
            ["type"] = "object",
            ["required"] = new JsonArray("kind"),
            ["oneOf"] = new JsonArray([.. DescriptionGrammar.BlockKinds.Select(k => new JsonObject { ["$ref"] = $"#/definitions/block:{k}" })]),
        };
        foreach (var kind in DescriptionGrammar.BlockKinds)
        {
            var node = Node([.. common, .. DescriptionGrammar.Nodes[$"block:{kind}"]], hasWhen: true);
            node["properties"]!["kind"] = new JsonObject { ["enum"] = new JsonArray(kind), ["description"] = "what the branch computes" };
            node["required"] = new JsonArray("kind");
            // It may replace a block of another kind, and remove what that one had.
            foreach (var field in DescriptionGrammar.BlockKinds.SelectMany(k => DescriptionGrammar.Nodes[$"block:{k}"]).DistinctBy(f => f.Key))
            {
                if (!node["properties"]!.AsObject().ContainsKey(field.Key))
                    node["properties"]![field.Key] = new JsonObject { ["type"] = "null" };
            }
            definitions[$"block:{kind}"] = node;
        }
        // A patch of a block that another file describes does not say its kind again.
        definitions["block_patch"] = Node(
            [.. common.Where(f => f.Key != "kind"), .. DescriptionGrammar.BlockKinds.SelectMany(k => DescriptionGrammar.Nodes[$"block:{k}"]).DistinctBy(f => f.Key)], hasWhen: true);
        var root = Node(DescriptionGrammar.Nodes["root"], hasWhen: false);
        root["properties"]!["$schema"] = new JsonObject { ["type"] = "string" };
        root["definitions"] = definitions;
        var schema = new JsonObject
        {
            ["$schema"] = "http://json-schema.org/draft-07/schema#",
            ["title"] = "AwqQuantize architecture description",
        };
        foreach (var (key, value) in root.ToList())
        {
            root.Remove(key);
            schema[key] = value;
        }
        return schema;
    }

    private static JsonObject Node(IEnumerable<Field> fields, bool hasWhen)
    {
        var properties = new JsonObject();
        foreach (var field in fields)
        {
            var value = Value(field);
            // null removes what the extended description has.
            if (field.Key is not ("model_type" or "extends"))
                value = new JsonObject { ["anyOf"] = new JsonArray(value, new JsonObject { ["type"] = "null" }) };
            value["description"] = field.Meaning;
            properties[field.Key] = value;
        }
        if (hasWhen)
            properties["when"] = new JsonObject { ["type"] = new JsonArray("boolean", "string", "null"), ["description"] = "the object counts only where this holds" };
        properties["comment"] = new JsonObject { ["type"] = "string" };
        return new JsonObject { ["type"] = "object", ["additionalProperties"] = false, ["properties"] = properties };
    }

    private static JsonObject Value(Field field)
    {
        static JsonObject Type(params string[] names) => new() { ["type"] = names.Length == 1 ? names[0] : new JsonArray([.. names.Select(n => JsonValue.Create(n))]) };
        static JsonObject Reference(string node) => new() { ["$ref"] = $"#/definitions/{node}" };
        static JsonObject OneOrMany(string node) =>
            new() { ["anyOf"] = new JsonArray(Reference(node), new JsonObject { ["type"] = "array", ["minItems"] = 1, ["items"] = Reference(node) }) };
        switch (field.Kind)
        {
            case FieldKind.Number:
                return Type("number", "string");
            case FieldKind.Flag:
                return Type("boolean", "string");
            case FieldKind.Keyword:
                return new JsonObject
                {
                    ["anyOf"] = new JsonArray(
                        new JsonObject { ["enum"] = new JsonArray([.. field.Values!.Select(v => JsonValue.Create(v))]) },
                        new JsonObject { ["type"] = "string", ["pattern"] = "^[$=]" }),
                };
            case FieldKind.Object:
                return OneOrMany(field.Node!);
            case FieldKind.Norm:
                return new JsonObject { ["anyOf"] = new JsonArray(Type("string"), OneOrMany(field.Node ?? "norm")) };
            case FieldKind.Strings:
                return new JsonObject { ["anyOf"] = new JsonArray(Type("string"), new JsonObject { ["type"] = "array", ["items"] = Type("string") }) };
            case FieldKind.Map:
                var map = Type("object");
                if (field.Node is not null)
                    map["additionalProperties"] = new JsonObject { ["anyOf"] = new JsonArray(OneOrMany(field.Node), Reference($"{field.Node}_patch"), Type("null")) };
                return map;
            default:
                return Type("string");
        }
    }
}
