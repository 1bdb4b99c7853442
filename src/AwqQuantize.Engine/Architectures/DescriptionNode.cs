using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>One object of a description, read with the values of a config: expressions are evaluated when they are asked for.</summary>
internal sealed class DescriptionNode(JsonObject json, ExpressionScope scope, string path, string root)
{
    public ExpressionScope Scope => scope;

    public string Path => path;

    private string At(string key) => path.Length == 0 ? key : $"{path}.{key}";

    public bool Has(string key) => json[key] is not null;

    /// <summary>A nested object; null where it is absent or its <c>when</c> is false. Of an array, the first whose <c>when</c> holds.</summary>
    public DescriptionNode? Child(string key)
    {
        var candidates = json[key] switch
        {
            null => [],
            JsonObject o => [o],
            JsonArray a => a.OfType<JsonObject>().ToArray(),
            _ => throw scope.Invalid(At(key), "must be an object"),
        };
        foreach (var candidate in candidates)
        {
            var child = new DescriptionNode(candidate, scope, At(key), root);
            if (child.Flag("when", true))
                return child;
        }
        return null;
    }

    public DescriptionNode Required(string key) => Child(key) ?? throw scope.Invalid(At(key), "is missing");

    public IEnumerable<(string Key, DescriptionNode Node)> Children()
    {
        foreach (var (key, value) in json)
        {
            if (value is not null && Child(key) is { } child)
                yield return (key, child);
        }
    }

    public object? Value(string key) => scope.Evaluate(json[key], At(key));

    public double? Number(string key) => Value(key) switch
    {
        null => null,
        double d => d,
        bool b => b ? 1 : 0,
        var other => throw NotA("a number", key, other),
    };

    public double RequiredNumber(string key) => Number(key) ?? throw Missing(key);

    public int? Integer(string key) => Number(key) is not { } number ? null
        : number == Math.Floor(number) && Math.Abs(number) <= int.MaxValue ? (int)number : throw NotA("a whole number", key, number);

    public int RequiredInteger(string key) => Integer(key) ?? throw Missing(key);

    public bool Flag(string key, bool missing) => !json.ContainsKey(key) ? missing : Expression.Truth(Value(key));

    public JsonObject? Object(string key) => Value(key) switch
    {
        null => null,
        JsonObject o => o,
        var other => throw NotA("an object", key, other),
    };

    /// <summary>A name or keyword: taken literally unless it starts with <c>$</c> or <c>=</c>. {root} is replaced.</summary>
    public string? Text(string key)
    {
        if (json[key] is not JsonValue raw)
            return json[key] is null ? null : throw scope.Invalid(At(key), "must be a string");
        var text = raw.TryGetValue(out string? literal) && literal is not (['$', ..] or ['=', ..]) ? literal : Value(key);
        return text switch
        {
            null => null,
            string s => s.Replace("{root}", root),
            var other => throw NotA("a string", key, other),
        };
    }

    public string RequiredText(string key) => Text(key) ?? throw Missing(key);

    /// <summary>A keyword out of a fixed set; a config value outside it is an error that names its key.</summary>
    public string? Keyword(string key, params string[] allowed)
    {
        var text = Text(key);
        if (text is null || allowed.Contains(text))
            return text;
        var raw = json[key]!.GetValue<string>();
        throw raw is ['$', ..] or ['=', ..] && scope.KeysOf(raw).Count > 0
            ? scope.Unsupported(raw, text, allowed)
            : scope.Invalid(At(key), $"'{text}' is none of {string.Join(", ", allowed)}");
    }

    /// <summary>One string or a list of strings.</summary>
    public IReadOnlyList<string> Texts(string key) => json[key] switch
    {
        JsonArray a => [.. a.Select(e => e!.GetValue<string>().Replace("{root}", root))],
        null => [],
        _ => [RequiredText(key)],
    };

    /// <summary>A norm: the name of its module, or an object that overrides the description's <c>norm</c>.</summary>
    public NormSpec? Norm(string key, DescriptionNode defaults, int size)
    {
        if (json[key] is JsonObject or JsonArray)
        {
            return Child(key) is not { } own ? null : new NormSpec(
                own.Text("name") ?? "", own.Kind("kind") ?? defaults.Kind("kind") ?? NormKind.Rms, own.Integer("size") ?? size,
                own.Number("epsilon") ?? defaults.RequiredNumber("epsilon"),
                own.Has("one_plus") ? own.Flag("one_plus", false) : defaults.Flag("one_plus", false),
                own.Has("weight") ? own.Flag("weight", true) : defaults.Flag("weight", true),
                own.Has("bias") ? own.Flag("bias", false) : defaults.Flag("bias", false));
        }
        return Text(key) is not { } name ? null : new NormSpec(
            name, defaults.Kind("kind") ?? NormKind.Rms, size, defaults.RequiredNumber("epsilon"),
            defaults.Flag("one_plus", false), defaults.Flag("weight", true), defaults.Flag("bias", false));
    }

    private NormKind? Kind(string key) => Keyword(key, "rms", "layer") switch
    {
        "rms" => NormKind.Rms,
        "layer" => NormKind.Layer,
        _ => null,
    };

    /// <summary>An error about the value of a key: the config's fault where an expression read it from there, else the description's.</summary>
    public AwqException NotA(string what, string key, object? value) =>
        json[key] is JsonValue v && v.TryGetValue(out string? text) && scope.KeysOf(text).Any(scope.HasConfig)
            ? scope.Unsupported(text, value, [what])
            : scope.Invalid(At(key), $"'{value}' is not {what}");

    private AwqException Missing(string key) => json[key] is JsonValue v && v.TryGetValue(out string? text)
        ? scope.Missing(text, At(key)) : scope.Invalid(At(key), "is missing");
}
