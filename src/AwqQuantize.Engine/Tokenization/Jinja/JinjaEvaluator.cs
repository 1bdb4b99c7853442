namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>Evaluates expressions. Each evaluation counts, so that no template runs for ever.</summary>
internal class JinjaEvaluator
{
    private const int MostSteps = 2_000_000;

    private int steps;

    protected object? Evaluate(JinjaExpression expression, JinjaScope scope)
    {
        Step();
        switch (expression)
        {
            case LiteralExpression literal:
                return literal.Value;
            case NameExpression name:
                return scope.Find(name.Name);
            case ListExpression list:
                return list.Items.Select(item => Evaluate(item, scope)).ToList();
            case DictionaryExpression dictionary:
                var map = new JinjaDictionary();
                foreach ((JinjaExpression key, JinjaExpression value) in dictionary.Items)
                {
                    map[JinjaValue.Text(Evaluate(key, scope))] = Evaluate(value, scope);
                }

                return map;
            case UnaryExpression unary:
                return EvaluateUnary(unary.Operator, Evaluate(unary.Operand, scope));
            case BinaryExpression { Operator: "or" } either:
                object? first = Evaluate(either.Left, scope);
                return JinjaValue.IsTrue(first) ? first : Evaluate(either.Right, scope);
            case BinaryExpression { Operator: "and" } both:
                object? left = Evaluate(both.Left, scope);
                return JinjaValue.IsTrue(left) ? Evaluate(both.Right, scope) : left;
            case BinaryExpression binary:
                return EvaluateBinary(binary.Operator, Evaluate(binary.Left, scope), Evaluate(binary.Right, scope));
            case CompareExpression compare:
                return EvaluateCompare(compare, scope);
            case ConditionalExpression conditional:
                return JinjaValue.IsTrue(Evaluate(conditional.Condition, scope)) ? Evaluate(conditional.Then, scope)
                    : conditional.Else is null ? new JinjaUndefined("the missing 'else'") : Evaluate(conditional.Else, scope);
            case AttributeExpression attribute:
                return GetAttribute(Evaluate(attribute.Target, scope), attribute.Name);
            case SubscriptExpression subscript:
                return GetItem(Evaluate(subscript.Target, scope), Evaluate(subscript.Key, scope));
            case SliceExpression slice:
                return EvaluateSlice(slice, scope);
            case CallExpression call:
                object? target = Evaluate(call.Target, scope);
                return target is JinjaCallable callable
                    ? callable([.. call.Arguments.Positional.Select(argument => Evaluate(argument, scope))], Named(call.Arguments, scope))
                    : throw JinjaErrors.Invalid($"{JinjaValue.Describe(target)} cannot be called");
            case FilterExpression filter:
                return Filter(filter.Name, Evaluate(filter.Target, scope), filter.Arguments, scope);
            case TestExpression test:
                return Test(test.Name, Evaluate(test.Target, scope), [.. test.Arguments.Positional.Select(argument => Evaluate(argument, scope))]) != test.Negated;
            default:
                throw JinjaErrors.NotSupported(expression.GetType().Name);
        }
    }

    protected object? Filter(string name, object? value, JinjaArguments arguments, JinjaScope scope) =>
        JinjaFilters.Apply(name, value, [.. arguments.Positional.Select(argument => Evaluate(argument, scope))], Named(arguments, scope), Test);

    protected void Step()
    {
        if (++steps > MostSteps)
        {
            throw JinjaErrors.Invalid("it does not come to an end");
        }
    }

    private Dictionary<string, object?> Named(JinjaArguments arguments, JinjaScope scope) =>
        arguments.Named.ToDictionary(argument => argument.Name, argument => Evaluate(argument.Value, scope), StringComparer.Ordinal);

    private static object? EvaluateUnary(string symbol, object? value) => symbol switch
    {
        "not" => !JinjaValue.IsTrue(value),
        "-" when value is double real => -real,
        "-" => -JinjaValue.Integer(value),
        _ => value is double ? value : JinjaValue.Integer(value),
    };

    private static object? EvaluateBinary(string symbol, object? left, object? right)
    {
        switch (symbol)
        {
            case "~":
                return JinjaValue.Text(left) + JinjaValue.Text(right);
            case "+" when left is string a && right is string b:
                return a + b;
            case "+" when left is List<object?> a && right is List<object?> b:
                return a.Concat(b).ToList();
            case "*" when left is string text && right is long times:
                return Repeated(text, times);
            case "*" when right is string text && left is long times:
                return Repeated(text, times);
            case "%" when left is string:
                throw JinjaErrors.NotSupported("formatting with '%'");
            case "/":
                return JinjaValue.Number(left) / NotZero(JinjaValue.Number(right));
        }

        try
        {
            if (left is not double && right is not double)
            {
                checked
                {
                    (long a, long b) = (Operand(left, symbol), Operand(right, symbol));
                    return symbol switch
                    {
                        "+" => a + b,
                        "-" => a - b,
                        "*" => a * b,
                        "//" => (long)Math.Floor(a / NotZero((double)b)),
                        "%" => (a % (long)NotZero(b) + b) % b,
                        _ => (long)Math.Pow(a, b),
                    };
                }
            }
        }
        catch (OverflowException)
        {
            throw JinjaErrors.Invalid($"'{symbol}' gives a number that is too large");
        }

        (double x, double y) = (JinjaValue.Number(left), JinjaValue.Number(right));
        return symbol switch
        {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "//" => Math.Floor(x / NotZero(y)),
            "%" => x - y * Math.Floor(x / NotZero(y)),
            _ => Math.Pow(x, y),
        };
    }

    private static long Operand(object? value, string symbol) => value is long or bool ? JinjaValue.Integer(value)
        : throw JinjaErrors.Invalid($"'{symbol}' does not apply to {JinjaValue.Describe(value)}");

    private static double NotZero(double value) => value != 0 ? value : throw JinjaErrors.Invalid("division by zero");

    private static string Repeated(string text, long times) => text.Length * Math.Max(times, 0) < 1 << 24
        ? string.Concat(Enumerable.Repeat(text, (int)Math.Max(times, 0)))
        : throw JinjaErrors.Invalid("a string becomes too long");

    private bool EvaluateCompare(CompareExpression compare, JinjaScope scope)
    {
        object? left = Evaluate(compare.First, scope);
        foreach ((string symbol, JinjaExpression operand) in compare.Rest)
        {
            object? right = Evaluate(operand, scope);
            bool holds = symbol switch
            {
                "==" => JinjaValue.AreEqual(left, right),
                "!=" => !JinjaValue.AreEqual(left, right),
                "in" => Contains(right, left),
                "not in" => !Contains(right, left),
                "<" => JinjaValue.Compare(left, right) < 0,
                "<=" => JinjaValue.Compare(left, right) <= 0,
                ">" => JinjaValue.Compare(left, right) > 0,
                _ => JinjaValue.Compare(left, right) >= 0,
            };
            if (!holds)
            {
                return false;
            }

            left = right;
        }

        return true;
    }

    private static bool Contains(object? container, object? item) => container switch
    {
        string text => text.Contains(item as string ?? throw JinjaErrors.Invalid($"{JinjaValue.Describe(item)} is looked for in a string"), StringComparison.Ordinal),
        JinjaDictionary map => item is string key && map.ContainsKey(key),
        _ => JinjaValue.Items(container).Any(member => JinjaValue.AreEqual(member, item)),
    };

    private static object? GetAttribute(object? target, string name) => target switch
    {
        JinjaUndefined undefined => throw JinjaErrors.Invalid($"'{undefined.Name}' is undefined, but its '{name}' is asked for"),
        JinjaNamespace space => space.Attributes.TryGetValue(name, out object? value) ? value : new JinjaUndefined(name),
        _ when JinjaMethods.Find(target, name) is { } method => method,
        JinjaDictionary map => map.TryGetValue(name, out object? value) ? value : new JinjaUndefined(name),
        _ => new JinjaUndefined(name),
    };

    private static object? GetItem(object? target, object? key) => (target, key) switch
    {
        (JinjaUndefined undefined, _) => throw JinjaErrors.Invalid($"'{undefined.Name}' is undefined, but one of its items is asked for"),
        (JinjaDictionary map, _) => map.TryGetValue(JinjaValue.Text(key), out object? value) ? value : GetAttribute(target, JinjaValue.Text(key)),
        (List<object?> or string, long index) => ItemAt(JinjaValue.Items(target), index),
        (_, string name) => GetAttribute(target, name),
        _ => new JinjaUndefined(JinjaValue.Text(key)),
    };

    private static object? ItemAt(List<object?> items, long index)
    {
        long at = index < 0 ? index + items.Count : index;
        return at >= 0 && at < items.Count ? items[(int)at] : new JinjaUndefined(JinjaValue.Text(index));
    }

    private object? EvaluateSlice(SliceExpression slice, JinjaScope scope)
    {
        object? target = Evaluate(slice.Target, scope);
        List<object?> items = JinjaValue.Items(target);
        long step = Limit(slice.Step) ?? 1;
        if (step == 0)
        {
            throw JinjaErrors.Invalid("a slice has the step 0");
        }

        long Bound(long? limit, long otherwise) => limit is not { } given ? otherwise
            : Math.Clamp(given < 0 ? given + items.Count : given, step > 0 ? 0 : -1, step > 0 ? items.Count : items.Count - 1);
        long start = Bound(Limit(slice.Start), step > 0 ? 0 : items.Count - 1);
        long stop = Bound(Limit(slice.Stop), step > 0 ? items.Count : -1);
        var part = new List<object?>();
        for (long i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            part.Add(items[(int)i]);
        }

        return target is string ? string.Concat(part) : part;

        long? Limit(JinjaExpression? expression) =>
            expression is null ? null : Evaluate(expression, scope) is { } value ? JinjaValue.Integer(value) : null;
    }

    private static bool Test(string name, object? value, IReadOnlyList<object?> arguments) => name switch
    {
        "defined" => value is not JinjaUndefined,
        "undefined" => value is JinjaUndefined,
        "none" => value is null,
        "true" => value is true,
        "false" => value is false,
        "boolean" => value is bool,
        "string" => value is string,
        "number" => value is long or double or bool,
        "integer" => value is long,
        "float" => value is double,
        "mapping" => value is JinjaDictionary,
        "sequence" or "iterable" => value is string or List<object?> or JinjaDictionary,
        "callable" => value is JinjaCallable,
        "even" => JinjaValue.Integer(value) % 2 == 0,
        "odd" => JinjaValue.Integer(value) % 2 != 0,
        "divisibleby" => JinjaValue.Integer(value) % JinjaValue.Integer(arguments[0]) == 0,
        "equalto" or "eq" or "==" or "sameas" => JinjaValue.AreEqual(value, arguments[0]),
        "ne" or "!=" => !JinjaValue.AreEqual(value, arguments[0]),
        "gt" or ">" => JinjaValue.Compare(value, arguments[0]) > 0,
        "ge" or ">=" => JinjaValue.Compare(value, arguments[0]) >= 0,
        "lt" or "<" => JinjaValue.Compare(value, arguments[0]) < 0,
        "le" or "<=" => JinjaValue.Compare(value, arguments[0]) <= 0,
        "in" => Contains(arguments[0], value),
        "upper" => value is string text && text.Any(char.IsUpper) && !text.Any(char.IsLower),
        "lower" => value is string text && text.Any(char.IsLower) && !text.Any(char.IsUpper),
        _ => throw JinjaErrors.NotSupported($"the test '{name}'"),
    };
}
