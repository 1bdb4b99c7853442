using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>A value that is not there; it prints as nothing, and asking it for anything is an error.</summary>
internal sealed record JinjaUndefined(string Name);

/// <summary>A dictionary that keeps the order in which keys were added.</summary>
internal sealed class JinjaDictionary : Dictionary<string, object?>
{
    public JinjaDictionary()
        : base(StringComparer.Ordinal)
    {
    }
}

/// <summary><c>namespace()</c>: its attributes can be set from inner scopes.</summary>
internal sealed record JinjaNamespace(JinjaDictionary Attributes);

internal delegate object? JinjaCallable(IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?> named);

/// <summary>
/// Values as Python has them: null, bool, long, double, string, list, dictionary, and what a template defines.
/// </summary>
internal static class JinjaValue
{
    /// <summary>What JSON says, as a template sees it.</summary>
    public static object? FromJson(JsonNode? node) => node switch
    {
        null => null,
        JsonObject json => FromObject(json),
        JsonArray list => list.Select(FromJson).ToList(),
        JsonValue value => value.GetValueKind() switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            JsonValueKind.String => value.GetValue<string>(),
            JsonValueKind.Number => long.TryParse(value.ToJsonString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long integer)
                ? integer : double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture),
            _ => null,
        },
        _ => null,
    };

    public static bool IsTrue(object? value) => value switch
    {
        null or JinjaUndefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        List<object?> list => list.Count > 0,
        JinjaDictionary map => map.Count > 0,
        _ => true,
    };

    public static bool AreEqual(object? left, object? right) => (left, right) switch
    {
        (null, null) => true,
        (JinjaUndefined, JinjaUndefined) => true,
        (bool or long or double, bool or long or double) => Number(left).Equals(Number(right)),
        (string a, string b) => a == b,
        (List<object?> a, List<object?> b) => a.Count == b.Count && a.Zip(b).All(pair => AreEqual(pair.First, pair.Second)),
        (JinjaDictionary a, JinjaDictionary b) => a.Count == b.Count && a.All(pair => b.TryGetValue(pair.Key, out object? other) && AreEqual(pair.Value, other)),
        _ => left is not null && ReferenceEquals(left, right),
    };

    public static int Compare(object? left, object? right) => (left, right) switch
    {
        (bool or long or double, bool or long or double) => Number(left).CompareTo(Number(right)),
        (string a, string b) => string.CompareOrdinal(a, b),
        (List<object?> a, List<object?> b) => a.Zip(b).Select(pair => AreEqual(pair.First, pair.Second) ? 0 : Compare(pair.First, pair.Second))
            .FirstOrDefault(order => order != 0, a.Count.CompareTo(b.Count)),
        _ => throw JinjaErrors.Invalid($"{Describe(left)} and {Describe(right)} have no order"),
    };

    public static double Number(object? value) => value switch
    {
        bool flag => flag ? 1 : 0,
        long number => number,
        double number => number,
        _ => throw JinjaErrors.Invalid($"{Describe(value)} is not a number"),
    };

    public static long Integer(object? value) => value switch
    {
        bool flag => flag ? 1 : 0,
        long number => number,
        _ => throw JinjaErrors.Invalid($"{Describe(value)} is not an integer"),
    };

    /// <summary>The members of what can be iterated: characters, items or keys.</summary>
    public static List<object?> Items(object? value) => value switch
    {
        List<object?> list => list,
        string text => [.. text.EnumerateRunes().Select(rune => (object?)rune.ToString())],
        JinjaDictionary map => [.. map.Keys],
        JinjaUndefined => [],
        _ => throw JinjaErrors.Invalid($"{Describe(value)} cannot be iterated"),
    };

    /// <summary>As <c>str()</c> prints it.</summary>
    public static string Text(object? value) => value switch
    {
        string text => text,
        JinjaUndefined => "",
        _ => Representation(value),
    };

    public static string Describe(object? value) => value switch
    {
        null => "none",
        JinjaUndefined undefined => $"'{undefined.Name}', which is undefined,",
        bool => "a boolean",
        long or double => "a number",
        string => "a string",
        List<object?> => "a list",
        JinjaDictionary => "a mapping",
        _ => "a callable",
    };

    /// <summary>As Python's <c>json.dumps(ensure_ascii=False)</c> writes it.</summary>
    public static string Json(object? value, int? indent, bool sortKeys, int level = 0)
    {
        string separator = indent is { } width ? ",\n" + new string(' ', width * (level + 1)) : ", ";
        string open = indent is { } first ? "\n" + new string(' ', first * (level + 1)) : "";
        string close = indent is { } last ? "\n" + new string(' ', last * level) : "";
        return value switch
        {
            null => "null",
            bool flag => flag ? "true" : "false",
            string text => Quoted(text),
            long or double => Representation(value),
            List<object?> { Count: 0 } => "[]",
            List<object?> list => "[" + open + string.Join(separator, list.Select(item => Json(item, indent, sortKeys, level + 1))) + close + "]",
            JinjaDictionary { Count: 0 } => "{}",
            JinjaDictionary map => "{" + open + string.Join(separator, (sortKeys ? map.OrderBy(pair => pair.Key, StringComparer.Ordinal) : map.AsEnumerable())
                .Select(pair => Quoted(pair.Key) + ": " + Json(pair.Value, indent, sortKeys, level + 1))) + close + "}",
            _ => throw JinjaErrors.Invalid($"{Describe(value)} cannot be written as JSON"),
        };
    }

    private static JinjaDictionary FromObject(JsonObject json)
    {
        var map = new JinjaDictionary();
        foreach ((string key, JsonNode? value) in json)
        {
            map[key] = FromJson(value);
        }

        return map;
    }

    private static string Representation(object? value) => value switch
    {
        null => "None",
        bool flag => flag ? "True" : "False",
        long number => number.ToString(CultureInfo.InvariantCulture),
        double number => Real(number),
        string text => Repr(text),
        List<object?> list => "[" + string.Join(", ", list.Select(Representation)) + "]",
        JinjaDictionary map => "{" + string.Join(", ", map.Select(pair => Repr(pair.Key) + ": " + Representation(pair.Value))) + "}",
        _ => throw JinjaErrors.Invalid($"{Describe(value)} cannot be printed"),
    };

    private static string Real(double number)
    {
        string text = number.ToString("R", CultureInfo.InvariantCulture);
        return BigInteger.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _) ? text + ".0" : text;
    }

    private static string Repr(string text)
    {
        char quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        var result = new StringBuilder().Append(quote);
        foreach (char c in text)
        {
            result.Append(c switch { '\n' => "\\n", '\r' => "\\r", '\t' => "\\t", '\\' => "\\\\", _ when c == quote => "\\" + c, _ => c.ToString() });
        }

        return result.Append(quote).ToString();
    }

    private static string Quoted(string text)
    {
        var result = new StringBuilder().Append('"');
        foreach (char c in text)
        {
            result.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                < ' ' => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => c.ToString(),
            });
        }

        return result.Append('"').ToString();
    }
}
