using System.Globalization;

namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>The filters (<c>value | name(arguments)</c>) that chat templates use.</summary>
internal static class JinjaFilters
{
    /// <param name="test">Runs a test by its name, for <c>select</c> and its kin.</param>
    public static object? Apply(string name, object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named, Func<string, object?, IReadOnlyList<object?>, bool> test)
    {
        object? Argument(int index, string key, object? otherwise) =>
            index < arguments.Count ? arguments[index] : named.GetValueOrDefault(key, otherwise);
        switch (name)
        {
            case "trim":
                return JinjaMethods.Strip(JinjaValue.Text(value), Argument(0, "chars", null) as string, left: true, right: true);
            case "length" or "count":
                return (long)JinjaValue.Items(value).Count;
            case "upper":
                return JinjaValue.Text(value).ToUpperInvariant();
            case "lower":
                return JinjaValue.Text(value).ToLowerInvariant();
            case "capitalize":
                return JinjaMethods.Capitalize(JinjaValue.Text(value));
            case "title":
                return JinjaMethods.Title(JinjaValue.Text(value));
            case "string" or "safe":
                return JinjaValue.Text(value);
            case "int":
                return ToInteger(value, Argument(0, "default", 0L));
            case "float":
                return double.TryParse(JinjaValue.Text(value), NumberStyles.Float, CultureInfo.InvariantCulture, out double real) ? real : Argument(0, "default", 0.0);
            case "abs":
                return value is long integer ? (object)Math.Abs(integer) : Math.Abs(JinjaValue.Number(value));
            case "default" or "d":
                bool replaces = value is JinjaUndefined || (JinjaValue.IsTrue(Argument(1, "boolean", false)) && !JinjaValue.IsTrue(value));
                return replaces ? Argument(0, "default_value", "") : value;
            case "replace":
                return JinjaMethods.Replace(JinjaValue.Text(value), JinjaValue.Text(Argument(0, "old", "")), JinjaValue.Text(Argument(1, "new", "")), Argument(2, "count", null));
            case "join":
                string separator = JinjaValue.Text(Argument(0, "d", ""));
                IEnumerable<object?> joined = JinjaValue.Items(value);
                return string.Join(separator, (named.TryGetValue("attribute", out object? attribute) ? joined.Select(item => Attribute(item, attribute)) : joined).Select(JinjaValue.Text));
            case "first":
                return JinjaValue.Items(value) is [var first, ..] ? first : new JinjaUndefined("first");
            case "last":
                return JinjaValue.Items(value) is [.., var last] ? last : new JinjaUndefined("last");
            case "list":
                return JinjaValue.Items(value).ToList();
            case "reverse":
                return value is string text ? string.Concat(text.EnumerateRunes().Reverse()) : JinjaValue.Items(value).AsEnumerable().Reverse().ToList();
            case "unique":
                return Unique(JinjaValue.Items(value));
            case "sum":
                return JinjaValue.Items(value).Aggregate((object?)0L, (sum, item) => sum is long a && item is long b ? (object)(a + b) : JinjaValue.Number(sum) + JinjaValue.Number(item));
            case "min":
                return JinjaValue.Items(value).Order(Comparer<object?>.Create(JinjaValue.Compare)).FirstOrDefault(new JinjaUndefined("min"));
            case "max":
                return JinjaValue.Items(value).Order(Comparer<object?>.Create(JinjaValue.Compare)).LastOrDefault(new JinjaUndefined("max"));
            case "items":
                return JinjaMethods.Pairs(value as JinjaDictionary ?? new JinjaDictionary());
            case "dictsort":
                return JinjaMethods.Pairs(value as JinjaDictionary ?? throw JinjaErrors.Invalid("'dictsort' of what is not a mapping"))
                    .OrderBy(pair => ((string)((List<object?>)pair!)[0]!).ToLowerInvariant(), StringComparer.Ordinal).ToList();
            case "tojson":
                return JinjaValue.Json(value, Argument(0, "indent", null) is long indent ? (int)indent : null, JinjaValue.IsTrue(named.GetValueOrDefault("sort_keys")));
            case "indent":
                return Indented(JinjaValue.Text(value), Argument(0, "width", 4L), JinjaValue.IsTrue(Argument(1, "first", false)), JinjaValue.IsTrue(Argument(2, "blank", false)));
            case "sort":
                return Sorted(JinjaValue.Items(value), JinjaValue.IsTrue(Argument(0, "reverse", false)), JinjaValue.IsTrue(Argument(1, "case_sensitive", false)), Argument(2, "attribute", null));
            case "map":
                return Mapped(value, arguments, named, test);
            case "select" or "reject":
                string? how = arguments.Count > 0 ? JinjaValue.Text(arguments[0]) : null;
                return JinjaValue.Items(value).Where(item => (how is null ? JinjaValue.IsTrue(item) : test(how, item, [.. arguments.Skip(1)])) == (name == "select")).ToList();
            case "selectattr" or "rejectattr":
                string? by = arguments.Count > 1 ? JinjaValue.Text(arguments[1]) : null;
                return JinjaValue.Items(value).Where(item =>
                {
                    object? member = Attribute(item, arguments[0]);
                    return (by is null ? JinjaValue.IsTrue(member) : test(by, member, [.. arguments.Skip(2)])) == (name == "selectattr");
                }).ToList();
            default:
                throw JinjaErrors.NotSupported($"the filter '{name}'");
        }
    }

    private static object? ToInteger(object? value, object? otherwise) => value switch
    {
        long number => number,
        bool flag => flag ? 1L : 0L,
        double number => (long)Math.Truncate(number),
        string text when long.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) => number,
        string text when double.TryParse(text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) => (long)Math.Truncate(number),
        _ => otherwise,
    };

    private static object? Attribute(object? item, object? attribute)
    {
        foreach (string part in JinjaValue.Text(attribute).Split('.'))
        {
            item = item is JinjaDictionary map && map.TryGetValue(part, out object? member) ? member
                : item is List<object?> list && int.TryParse(part, CultureInfo.InvariantCulture, out int index) && index < list.Count ? list[index]
                : new JinjaUndefined(part);
        }

        return item;
    }

    private static List<object?> Mapped(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named, Func<string, object?, IReadOnlyList<object?>, bool> test)
    {
        if (named.TryGetValue("attribute", out object? attribute))
        {
            object? otherwise = named.GetValueOrDefault("default");
            return [.. JinjaValue.Items(value).Select(item => Attribute(item, attribute) is var member && member is JinjaUndefined && named.ContainsKey("default") ? otherwise : member)];
        }

        string filter = JinjaValue.Text(arguments.Count > 0 ? arguments[0] : throw JinjaErrors.Invalid("'map' without a filter"));
        return [.. JinjaValue.Items(value).Select(item => Apply(filter, item, [.. arguments.Skip(1)], named, test))];
    }

    private static List<object?> Unique(List<object?> items)
    {
        var unique = new List<object?>();
        foreach (object? item in items)
        {
            if (!unique.Any(known => JinjaValue.AreEqual(known is string a ? a.ToLowerInvariant() : known, item is string b ? b.ToLowerInvariant() : item)))
            {
                unique.Add(item);
            }
        }

        return unique;
    }

    private static List<object?> Sorted(List<object?> items, bool reverse, bool caseSensitive, object? attribute)
    {
        object? Key(object? item)
        {
            object? key = attribute is null ? item : Attribute(item, attribute);
            return key is string text && !caseSensitive ? text.ToLowerInvariant() : key;
        }

        Comparer<object?> order = Comparer<object?>.Create(JinjaValue.Compare);
        return [.. reverse ? items.OrderByDescending(Key, order) : items.OrderBy(Key, order)];
    }

    private static string Indented(string text, object? width, bool first, bool blank)
    {
        string indent = width as string ?? new string(' ', (int)JinjaValue.Integer(width));
        string[] lines = text.Split('\n');
        for (int i = first ? 0 : 1; i < lines.Length; i++)
        {
            lines[i] = lines[i].Length > 0 || blank ? indent + lines[i] : lines[i];
        }

        return string.Join('\n', lines);
    }
}
