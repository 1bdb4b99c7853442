using System.Globalization;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>
/// An expression of an architecture description: config keys (<c>$hidden_size</c>, <c>$rope_scaling.factor</c>), variables of the
/// description's <c>let</c>, the layer index <c>i</c>, numbers, 'strings', + - * / %, comparisons, &amp;&amp; || !, <c>a ?? b</c>,
/// <c>c ? a : b</c>, <c>list[i]</c> and a few functions. Values are null, bool, double, string, JsonArray and JsonObject;
/// arithmetic with null gives null, so that <c>??</c> can supply a default.
/// </summary>
internal sealed class Expression
{
    private readonly Func<ExpressionScope, object?> evaluate;

    private Expression(string text, Func<ExpressionScope, object?> evaluate, IReadOnlyList<string> configKeys, IReadOnlyList<string> variables)
    {
        Text = text;
        this.evaluate = evaluate;
        ConfigKeys = configKeys;
        Variables = variables;
    }

    public string Text { get; }

    /// <summary>Config paths that the expression names itself.</summary>
    public IReadOnlyList<string> ConfigKeys { get; }

    public IReadOnlyList<string> Variables { get; }

    public object? Evaluate(ExpressionScope scope) => evaluate(scope);

    /// <summary>Parses an expression; a leading <c>=</c> is skipped.</summary>
    /// <exception cref="FormatException">The text is no expression; the message says where and what was expected.</exception>
    public static Expression Parse(string text)
    {
        var parser = new Parser(text.StartsWith('=') ? text[1..] : text);
        var root = parser.ParseAll();
        return new Expression(text, root, parser.ConfigKeys, parser.Variables);
    }

    internal static bool Truth(object? value) => value switch
    {
        null => false,
        bool b => b,
        double d => d != 0,
        string s => s.Length > 0,
        JsonArray a => a.Count > 0,
        _ => true,
    };

    // The casts matter: JsonNode converts from bool, string and double by itself.
    internal static object? FromJson(JsonNode? node) => node switch
    {
        null => null,
        JsonArray or JsonObject { Count: > 1 } => (object)node,
        // How transformers writes numbers that JSON cannot hold.
        JsonObject o when o["__float__"] is JsonValue f => double.Parse(f.GetValue<string>(), CultureInfo.InvariantCulture),
        JsonObject => node,
        JsonValue v when v.TryGetValue(out bool b) => (object)b,
        JsonValue v when v.TryGetValue(out string? s) => s,
        JsonValue v when v.TryGetValue(out double d) => d,
        JsonValue v => Convert.ToDouble(v.ToString(), CultureInfo.InvariantCulture),
        _ => node,
    };

    private sealed class Parser(string text)
    {
        private int at;

        public List<string> ConfigKeys { get; } = [];

        public List<string> Variables { get; } = [];

        public Func<ExpressionScope, object?> ParseAll()
        {
            var root = Conditional();
            Skip();
            return at == text.Length ? root : throw Error("the end");
        }

        private FormatException Error(string expected) =>
            new($"expected {expected} at character {at + 1} of '{text}'");

        private void Skip()
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
                at++;
        }

        private bool Take(string symbol, string notBefore = "")
        {
            Skip();
            if (string.CompareOrdinal(text, at, symbol, 0, symbol.Length) != 0)
                return false;
            var next = at + symbol.Length;
            if (next < text.Length && notBefore.Contains(text[next]))
                return false;
            at = next;
            return true;
        }

        private void Expect(string symbol)
        {
            if (!Take(symbol))
                throw Error($"'{symbol}'");
        }

        private Func<ExpressionScope, object?> Conditional()
        {
            var condition = Coalesce();
            if (!Take("?", notBefore: "?"))
                return condition;
            var then = Conditional();
            Expect(":");
            var otherwise = Conditional();
            return s => Truth(condition(s)) ? then(s) : otherwise(s);
        }

        private Func<ExpressionScope, object?> Coalesce()
        {
            var left = Or();
            if (!Take("??"))
                return left;
            var right = Coalesce();
            return s => left(s) ?? right(s);
        }

        private Func<ExpressionScope, object?> Or()
        {
            var left = And();
            while (Take("||"))
            {
                var (a, b) = (left, And());
                left = s => Truth(a(s)) || Truth(b(s));
            }
            return left;
        }

        private Func<ExpressionScope, object?> And()
        {
            var left = Comparison();
            while (Take("&&"))
            {
                var (a, b) = (left, Comparison());
                left = s => Truth(a(s)) && Truth(b(s));
            }
            return left;
        }

        private Func<ExpressionScope, object?> Comparison()
        {
            var a = Sum();
            foreach (var symbol in (string[])["==", "!=", "<=", ">=", "<", ">"])
            {
                if (!Take(symbol))
                    continue;
                var b = Sum();
                return symbol switch
                {
                    "==" => s => Equals(a(s), b(s)),
                    "!=" => s => !Equals(a(s), b(s)),
                    "<=" => s => Number(a(s)) <= Number(b(s)),
                    ">=" => s => Number(a(s)) >= Number(b(s)),
                    "<" => s => Number(a(s)) < Number(b(s)),
                    _ => s => Number(a(s)) > Number(b(s)),
                };
            }
            return a;
        }

        private Func<ExpressionScope, object?> Sum()
        {
            var left = Product();
            while (true)
            {
                if (Take("+"))
                {
                    var (a, b) = (left, Product());
                    left = s => Number(a(s)) + Number(b(s));
                }
                else if (Take("-"))
                {
                    var (a, b) = (left, Product());
                    left = s => Number(a(s)) - Number(b(s));
                }
                else
                    return left;
            }
        }

        private Func<ExpressionScope, object?> Product()
        {
            var left = Unary();
            while (true)
            {
                if (Take("*"))
                {
                    var (a, b) = (left, Unary());
                    left = s => Number(a(s)) * Number(b(s));
                }
                else if (Take("/"))
                {
                    var (a, b) = (left, Unary());
                    left = s => Number(a(s)) / Number(b(s));
                }
                else if (Take("%"))
                {
                    var (a, b) = (left, Unary());
                    left = s => Number(a(s)) % Number(b(s));
                }
                else
                    return left;
            }
        }

        private Func<ExpressionScope, object?> Unary()
        {
            if (Take("!", notBefore: "="))
            {
                var a = Unary();
                return s => !Truth(a(s));
            }
            if (Take("-"))
            {
                var a = Unary();
                return s => -Number(a(s));
            }
            var value = Primary();
            while (Take("["))
            {
                var (list, index) = (value, Conditional());
                Expect("]");
                value = s => Element(list(s), index(s));
            }
            return value;
        }

        private Func<ExpressionScope, object?> Primary()
        {
            Skip();
            if (Take("("))
            {
                var inner = Conditional();
                Expect(")");
                return inner;
            }
            if (Take("'"))
            {
                var end = text.IndexOf('\'', at);
                if (end < 0)
                    throw Error("a closing quote");
                var literal = text[at..end];
                at = end + 1;
                return _ => literal;
            }
            if (Take("$"))
            {
                var path = Word(dots: true);
                ConfigKeys.Add(path);
                return s => s.Config(path);
            }
            if (at < text.Length && char.IsAsciiDigit(text[at]))
            {
                var start = at;
                while (at < text.Length && (char.IsAsciiDigit(text[at]) || text[at] is '.' or 'e' || text[at] is '-' or '+' && text[at - 1] == 'e'))
                    at++;
                if (!double.TryParse(text[start..at], CultureInfo.InvariantCulture, out var number))
                    throw Error("a number");
                return _ => number;
            }
            var word = Word(dots: false);
            switch (word)
            {
                case "true": return _ => true;
                case "false": return _ => false;
                case "null": return _ => null;
            }
            if (Take("("))
            {
                var arguments = new List<Func<ExpressionScope, object?>>();
                if (!Take(")"))
                {
                    do
                        arguments.Add(Conditional());
                    while (Take(","));
                    Expect(")");
                }
                return Function(word, arguments);
            }
            Variables.Add(word);
            return s => s.Variable(word);
        }

        private string Word(bool dots)
        {
            Skip();
            var start = at;
            while (at < text.Length && (char.IsAsciiLetterOrDigit(text[at]) || text[at] == '_' || dots && text[at] == '.'))
                at++;
            return at > start ? text[start..at] : throw Error("a value");
        }

        private Func<ExpressionScope, object?> Function(string name, List<Func<ExpressionScope, object?>> arguments)
        {
            Func<ExpressionScope, object?> One(Func<double, double> f) => s => Number(arguments[0](s)) is { } x ? f(x) : null;
            Func<ExpressionScope, object?> Two(Func<double, double, double> f) =>
                s => Number(arguments[0](s)) is { } x && Number(arguments[1](s)) is { } y ? f(x, y) : null;
            var (count, function) = name switch
            {
                "floor" => (1, One(Math.Floor)),
                "ceil" => (1, One(Math.Ceiling)),
                "int" => (1, One(Math.Truncate)),
                "sqrt" => (1, One(Math.Sqrt)),
                "log" => (1, One(Math.Log)),
                "min" => (2, Two(Math.Min)),
                "max" => (2, Two(Math.Max)),
                "pow" => (2, Two(Math.Pow)),
                "length" => (1, s => arguments[0](s) switch { JsonArray a => (double)a.Count, string t => t.Length, _ => null }),
                "contains" => (2, s => arguments[0](s) is JsonArray a && arguments[1](s) is var x && a.Any(e => Equals(FromJson(e), x))),
                // Whether a key is missing, where null means something else than the family's default.
                "absent" => (1, s => arguments[0](s) is string key && !s.NamesConfig(key)),
                // Whether the checkpoint has such a tensor; for what a family's config leaves open.
                "stored" => (1, s => arguments[0](s) is string pattern && s.HasTensor(pattern)),
                // [[list, times], …] → one list.
                "expand" => (1, s => Expand(arguments[0](s))),
                // A value that must be one of the others; anything else in the config is an error that names the key.
                "choice" => (-1, (Func<ExpressionScope, object?>)(s => arguments[0](s) is var x && arguments.Skip(1).Any(a => Equals(a(s), x))
                    ? x : throw new UnsupportedChoice(x, [.. arguments.Skip(1).Select(a => a(s))]))),
                _ => throw Error($"one of the functions floor, ceil, int, sqrt, log, min, max, pow, length, contains, absent, stored, expand, choice instead of '{name}'"),
            };
            return count < 0 || count == arguments.Count ? function : throw Error($"{count} argument(s) for '{name}'");
        }

        private static JsonArray? Expand(object? value)
        {
            if (value is not JsonArray parts)
                return null;
            var all = new JsonArray();
            foreach (var part in parts)
            {
                if (part is not JsonArray { Count: 2 } pair || pair[0] is not JsonArray list || FromJson(pair[1]) is not double times || times > 100_000)
                    throw new FormatException($"'{parts.ToJsonString()}' is no list of pairs of a list and a number");
                for (var t = 0; t < times; t++)
                {
                    foreach (var element in list)
                        all.Add(element?.DeepClone());
                }
            }
            return all;
        }

        private static double? Number(object? value) => value switch
        {
            double d => d,
            bool b => b ? 1 : 0,
            null => null,
            _ => throw new FormatException($"'{value}' is not a number"),
        };

        private static object? Element(object? list, object? index) => (list, index) switch
        {
            (JsonArray a, double d) => d >= 0 && d < a.Count ? FromJson(a[(int)d]) : null,
            (string s, double d) => d >= 0 && d < s.Length ? s[(int)d].ToString() : null,
            (JsonObject o, string key) => FromJson(o[key]),
            _ => null,
        };
    }

    /// <summary>A value was not among those that a <c>choice</c> allows.</summary>
    internal sealed class UnsupportedChoice(object? value, IReadOnlyList<object?> allowed) : Exception
    {
        public object? Value { get; } = value;

        public IReadOnlyList<object?> Allowed { get; } = allowed;
    }
}
