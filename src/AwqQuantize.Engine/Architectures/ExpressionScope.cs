using System.IO.Enumeration;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>What the expressions of one description see: the config, the description's variables, and the layer index.</summary>
internal sealed class ExpressionScope
{
    private readonly JsonObject config;
    private readonly IReadOnlyDictionary<string, JsonNode?> variables;
    private readonly Dictionary<string, object?> values = [];
    private readonly HashSet<string> evaluating = [];
    private readonly string file;
    private readonly IReadOnlyCollection<string> tensors;
    private readonly Dictionary<string, Expression> parsed;

    /// <param name="tensors">Names of the checkpoint's tensors; none where a description is read without a checkpoint.</param>
    public ExpressionScope(string file, JsonObject config, IReadOnlyDictionary<string, JsonNode?> variables, IReadOnlyCollection<string> tensors)
    {
        (this.file, this.config, this.variables, this.tensors, parsed, ReadKeys) = (file, config, variables, tensors, [], []);
    }

    private ExpressionScope(ExpressionScope parent, int layer)
    {
        (file, config, variables, tensors, parsed, ReadKeys) =
            (parent.file, parent.config, parent.variables, parent.tensors, parent.parsed, parent.ReadKeys);
        values["i"] = (double)layer;
    }

    /// <summary>Top-level config keys that any expression has asked for.</summary>
    public HashSet<string> ReadKeys { get; }

    public ExpressionScope ForLayer(int layer) => new(this, layer);

    public object? Config(string path)
    {
        JsonNode? node = config;
        foreach (var part in path.Split('.'))
            node = (node as JsonObject)?[part];
        ReadKeys.Add(path.Split('.')[0]);
        return Expression.FromJson(node);
    }

    /// <summary>Whether the checkpoint has a tensor of this name, in which * stands for any characters.</summary>
    public bool HasTensor(string pattern) => tensors.Any(t => FileSystemName.MatchesSimpleExpression(pattern, t, ignoreCase: false));

    /// <summary>Whether the config has this key at the top, be it with null.</summary>
    public bool NamesConfig(string key)
    {
        ReadKeys.Add(key);
        return config.ContainsKey(key);
    }

    public bool HasConfig(string path)
    {
        JsonNode? node = config;
        foreach (var part in path.Split('.'))
            node = (node as JsonObject)?[part];
        return node is not null;
    }

    public object? Variable(string name)
    {
        if (values.TryGetValue(name, out var value))
            return value;
        if (!variables.TryGetValue(name, out var raw))
            throw Invalid($"let.{name}", name == "i" ? "the layer index i has no meaning outside a layer" : $"there is no variable '{name}'");
        if (!evaluating.Add(name))
            throw Invalid($"let.{name}", "the variable refers to itself");
        value = Evaluate(raw, $"let.{name}");
        evaluating.Remove(name);
        values[name] = value;
        return value;
    }

    /// <summary>The value of a JSON value of a description, where a string is an expression.</summary>
    public object? Evaluate(JsonNode? raw, string where)
    {
        if (raw is not JsonValue json || !json.TryGetValue(out string? text))
            return Expression.FromJson(raw);
        try
        {
            return Parse(text).Evaluate(this);
        }
        catch (FormatException e)
        {
            throw Invalid(where, e.Message);
        }
        catch (Expression.UnsupportedChoice e)
        {
            throw Unsupported(text, e.Value, e.Allowed.Select(a => a?.ToString() ?? "null"));
        }
    }

    public Expression Parse(string text)
    {
        if (!parsed.TryGetValue(text, out var expression))
            parsed[text] = expression = Expression.Parse(text);
        return expression;
    }

    /// <summary>Config keys behind an expression, through variables too; those that the config has come first.</summary>
    public IReadOnlyList<string> KeysOf(string text)
    {
        var keys = new List<string>();
        var seen = new HashSet<string>();
        var work = new Queue<string>([text]);
        while (work.TryDequeue(out var next))
        {
            var expression = Parse(next);
            keys.AddRange(expression.ConfigKeys.Except(keys));
            foreach (var name in expression.Variables)
            {
                if (seen.Add(name) && variables.TryGetValue(name, out var raw) && raw is JsonValue v && v.TryGetValue(out string? inner))
                    work.Enqueue(inner);
            }
        }
        return [.. keys.OrderBy(k => !HasConfig(k))];
    }

    public AwqException Invalid(string key, string what) => new("ArchitectureInvalid", AwqErrorKind.InvalidData,
        $"{file}: '{key}': {what}.", "Correct the architecture description; module/Architectures/architecture.schema.json describes its form.");

    /// <summary>The error for a value that a config has and this engine does not honour.</summary>
    public AwqException Unsupported(string expression, object? value, IEnumerable<string> allowed)
    {
        var keys = KeysOf(expression);
        var present = keys.Where(HasConfig).ToList();
        return UnsupportedKey(string.Join("' or '", present.Count > 0 ? present : keys), value, allowed);
    }

    public static AwqException UnsupportedKey(string key, object? value, IEnumerable<string> allowed) => new("ConfigValueNotSupported", AwqErrorKind.NotSupported,
        $"config.json: '{key}' has the value '{value ?? "null"}', which is not supported here; supported: {string.Join(", ", allowed)}.",
        "Use a model without this setting, or describe its architecture with -ArchitecturePath.");

    public AwqException Missing(string expression, string where)
    {
        var keys = KeysOf(expression);
        return keys.Count == 0
            ? Invalid(where, "has no value")
            : new("ConfigKeyMissing", AwqErrorKind.InvalidData,
                $"config.json has no '{string.Join("' and no '", keys)}', which {file} needs for '{where}'.",
                "Add the key to config.json as the model's publisher states it.");
    }
}
