using System.Text;

namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>The methods of Python's strings and dictionaries that chat templates call. None changes its object.</summary>
internal static class JinjaMethods
{
    private static readonly string[] OfStrings =
        ["strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper", "lower", "title", "capitalize", "find", "rfind", "join", "count", "isdigit", "isupper", "islower", "removeprefix", "removesuffix"];

    /// <returns>Null where the object has no such method.</returns>
    public static JinjaCallable? Find(object? target, string name) => target switch
    {
        string text when OfStrings.Contains(name) => (positional, named) => OfString(text, name, positional, named),
        JinjaDictionary map => OfDictionary(map, name),
        List<object?> list => name switch
        {
            "index" => (positional, _) => list.FindIndex(item => JinjaValue.AreEqual(item, positional[0])) is >= 0 and int index ? (long)index : throw JinjaErrors.Invalid("an item is not in the list"),
            "count" => (positional, _) => (long)list.Count(item => JinjaValue.AreEqual(item, positional[0])),
            "append" or "extend" or "insert" or "pop" or "remove" or "clear" or "sort" or "reverse" => throw JinjaErrors.Invalid($"'{name}' changes a list, which the sandbox forbids"),
            _ => null,
        },
        _ => null,
    };

    public static List<object?> Pairs(JinjaDictionary map) => [.. map.Select(pair => (object?)new List<object?> { pair.Key, pair.Value })];

    public static string Strip(string text, string? characters, bool left, bool right)
    {
        char[]? set = characters?.ToCharArray();
        text = left ? set is null ? text.TrimStart() : text.TrimStart(set) : text;
        return right ? set is null ? text.TrimEnd() : text.TrimEnd(set) : text;
    }

    public static string Capitalize(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    public static string Title(string text)
    {
        var result = new StringBuilder(text.Length);
        bool inside = false;
        foreach (char c in text)
        {
            result.Append(inside ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c));
            inside = char.IsLetter(c);
        }

        return result.ToString();
    }

    public static string Replace(string text, string old, string replacement, object? count)
    {
        if (old.Length == 0)
        {
            throw JinjaErrors.NotSupported("replacing nothing by something");
        }

        long left = count is long limit and >= 0 ? limit : long.MaxValue;
        var result = new StringBuilder();
        int from = 0;
        for (int at; left > 0 && (at = text.IndexOf(old, from, StringComparison.Ordinal)) >= 0; left--, from = at + old.Length)
        {
            result.Append(text, from, at - from).Append(replacement);
        }

        return result.Append(text, from, text.Length - from).ToString();
    }

    private static object? OfString(string text, string name, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named)
    {
        object? first = arguments.Count > 0 ? arguments[0] : named.GetValueOrDefault(name is "split" or "rsplit" ? "sep" : "chars");
        string Required() => first as string ?? throw JinjaErrors.Invalid($"'{name}' needs a string");
        switch (name)
        {
            case "strip" or "lstrip" or "rstrip":
                return Strip(text, first as string, name != "rstrip", name != "lstrip");
            case "split" or "rsplit":
                object? limit = arguments.Count > 1 ? arguments[1] : named.GetValueOrDefault("maxsplit");
                return Split(text, first as string, limit is long most and >= 0 ? (int)most : int.MaxValue, fromEnd: name == "rsplit");
            case "splitlines":
                List<object?> lines = [.. text.ReplaceLineEndings("\n").Split('\n')];
                return lines is [.., ""] ? lines[..^1] : lines;
            case "startswith" or "endswith":
                return (first as List<object?> ?? [Required()]).Any(affix => name == "startswith"
                    ? text.StartsWith((string)affix!, StringComparison.Ordinal) : text.EndsWith((string)affix!, StringComparison.Ordinal));
            case "replace":
                return Replace(text, Required(), arguments.Count > 1 ? JinjaValue.Text(arguments[1]) : "", arguments.Count > 2 ? arguments[2] : named.GetValueOrDefault("count"));
            case "upper":
                return text.ToUpperInvariant();
            case "lower":
                return text.ToLowerInvariant();
            case "title":
                return Title(text);
            case "capitalize":
                return Capitalize(text);
            case "find" or "rfind":
                int found = name == "find" ? text.IndexOf(Required(), StringComparison.Ordinal) : text.LastIndexOf(Required(), StringComparison.Ordinal);
                return found < 0 ? -1L : text[..found].EnumerateRunes().LongCount();
            case "join":
                return string.Join(text, JinjaValue.Items(first).Select(item => item as string ?? throw JinjaErrors.Invalid("'join' needs strings")));
            case "count":
                return (long)((text.Length - text.Replace(Required(), "", StringComparison.Ordinal).Length) / Required().Length);
            case "isdigit":
                return text.Length > 0 && text.All(char.IsDigit);
            case "isupper":
                return text.Any(char.IsUpper) && !text.Any(char.IsLower);
            case "islower":
                return text.Any(char.IsLower) && !text.Any(char.IsUpper);
            case "removeprefix":
                return text.StartsWith(Required(), StringComparison.Ordinal) ? text[Required().Length..] : text;
            default:
                return text.EndsWith(Required(), StringComparison.Ordinal) ? text[..^Required().Length] : text;
        }
    }

    private static List<object?> Split(string text, string? separator, int limit, bool fromEnd)
    {
        if (separator is null)
        {
            return limit == int.MaxValue ? [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)]
                : throw JinjaErrors.NotSupported("'split' at white space with a limit");
        }

        if (separator.Length == 0)
        {
            throw JinjaErrors.Invalid("'split' with an empty separator");
        }

        string[] parts = text.Split(separator);
        if (parts.Length - 1 <= limit)
        {
            return [.. parts];
        }

        return fromEnd
            ? [string.Join(separator, parts[..^limit]), .. parts[^limit..]]
            : [.. parts[..limit], string.Join(separator, parts[limit..])];
    }

    private static JinjaCallable? OfDictionary(JinjaDictionary map, string name) => name switch
    {
        "get" => (positional, named) => map.TryGetValue(JinjaValue.Text(positional[0]), out object? value) ? value
            : positional.Count > 1 ? positional[1] : named.GetValueOrDefault("default"),
        "items" => (_, _) => Pairs(map),
        "keys" => (_, _) => map.Keys.Select(key => (object?)key).ToList(),
        "values" => (_, _) => map.Values.ToList(),
        "update" or "pop" or "setdefault" or "clear" or "popitem" => throw JinjaErrors.Invalid($"'{name}' changes a mapping, which the sandbox forbids"),
        _ => null,
    };
}
