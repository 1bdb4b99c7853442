using System.Globalization;
using System.Text;

namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>
/// A Jinja template as transformers runs chat templates: sandboxed, nothing outside it can be reached, and its time and
/// output are bounded.
/// </summary>
internal sealed class JinjaTemplate(string source)
{
    private readonly IReadOnlyList<JinjaStatement> body = JinjaParser.Parse(source);

    /// <param name="today">What <c>strftime_now</c> tells.</param>
    public string Render(IEnumerable<KeyValuePair<string, object?>> variables, DateTime today) => new Run(today).Execute(body, variables);

    private enum Flow
    {
        On,
        Break,
        Continue,
    }

    private sealed class Run(DateTime today) : JinjaEvaluator
    {
        private const int LongestOutput = 1 << 26;
        private const int DeepestCall = 100;

        private int depth;

        public string Execute(IReadOnlyList<JinjaStatement> statements, IEnumerable<KeyValuePair<string, object?>> variables)
        {
            var scope = new JinjaScope(Globals());
            foreach ((string name, object? value) in variables)
            {
                scope.Set(name, value);
            }

            var output = new StringBuilder();
            Execute(statements, scope, output);
            return output.ToString();
        }

        private JinjaScope Globals()
        {
            var scope = new JinjaScope(null);
            scope.Set("raise_exception", (JinjaCallable)((positional, _) => throw JinjaErrors.Rejected(positional.Count > 0 ? JinjaValue.Text(positional[0]) : "")));
            scope.Set("strftime_now", (JinjaCallable)((positional, _) => Formatted(JinjaValue.Text(positional[0]))));
            scope.Set("namespace", (JinjaCallable)((positional, named) => new JinjaNamespace(Merged(positional, named))));
            scope.Set("dict", (JinjaCallable)Merged);
            scope.Set("range", (JinjaCallable)((positional, _) => Range([.. positional.Select(JinjaValue.Integer)])));
            return scope;
        }

        private Flow Execute(IReadOnlyList<JinjaStatement> statements, JinjaScope scope, StringBuilder output)
        {
            foreach (JinjaStatement statement in statements)
            {
                Step();
                Flow flow = Execute(statement, scope, output);
                if (flow != Flow.On)
                {
                    return flow;
                }
            }

            return Flow.On;
        }

        private Flow Execute(JinjaStatement statement, JinjaScope scope, StringBuilder output)
        {
            switch (statement)
            {
                case TextStatement text:
                    Append(output, text.Text);
                    return Flow.On;
                case OutputStatement value:
                    Append(output, JinjaValue.Text(Evaluate(value.Value, scope)));
                    return Flow.On;
                case IfStatement choice:
                    foreach ((JinjaExpression? condition, IReadOnlyList<JinjaStatement> branch) in choice.Branches)
                    {
                        if (condition is null || JinjaValue.IsTrue(Evaluate(condition, scope)))
                        {
                            return Execute(branch, scope, output);
                        }
                    }

                    return Flow.On;
                case ForStatement loop:
                    Execute(loop, scope, output);
                    return Flow.On;
                case SetStatement set:
                    Execute(set, scope);
                    return Flow.On;
                case MacroStatement macro:
                    scope.Set(macro.Name, (JinjaCallable)((positional, named) => Call(macro, positional, named, scope)));
                    return Flow.On;
                case BlockStatement block:
                    return Execute(block.Body, scope, output);
                case FilterStatement filter:
                    var inner = new StringBuilder();
                    Execute(filter.Body, new JinjaScope(scope), inner);
                    Append(output, JinjaValue.Text(Filter(filter.Name, inner.ToString(), filter.Arguments, scope)));
                    return Flow.On;
                case BreakStatement:
                    return Flow.Break;
                default:
                    return Flow.Continue;
            }
        }

        private void Execute(ForStatement loop, JinjaScope scope, StringBuilder output)
        {
            List<object?> items = JinjaValue.Items(Evaluate(loop.Items, scope));
            if (loop.Filter is { } filter)
            {
                items = items.FindAll(item =>
                {
                    var trial = new JinjaScope(scope);
                    Assign(loop.Targets, item, trial);
                    return JinjaValue.IsTrue(Evaluate(filter, trial));
                });
            }

            if (items.Count == 0)
            {
                Execute(loop.Otherwise, scope, output);
                return;
            }

            for (int i = 0; i < items.Count; i++)
            {
                Step();
                var inner = new JinjaScope(scope);
                Assign(loop.Targets, items[i], inner);
                inner.Set("loop", Position(items, i));
                if (Execute(loop.Body, inner, output) == Flow.Break)
                {
                    break;
                }
            }
        }

        private static JinjaNamespace Position(List<object?> items, int i) => new(new JinjaDictionary
        {
            ["index"] = i + 1L,
            ["index0"] = (long)i,
            ["revindex"] = (long)(items.Count - i),
            ["revindex0"] = (long)(items.Count - i - 1),
            ["first"] = i == 0,
            ["last"] = i == items.Count - 1,
            ["length"] = (long)items.Count,
            ["previtem"] = i > 0 ? items[i - 1] : new JinjaUndefined("loop.previtem"),
            ["nextitem"] = i + 1 < items.Count ? items[i + 1] : new JinjaUndefined("loop.nextitem"),
            ["cycle"] = (JinjaCallable)((positional, _) => positional[i % positional.Count]),
        });

        private void Execute(SetStatement set, JinjaScope scope)
        {
            object? value;
            if (set.Value is { } expression)
            {
                value = Evaluate(expression, scope);
            }
            else
            {
                var inner = new StringBuilder();
                Execute(set.Body, new JinjaScope(scope), inner);
                value = inner.ToString();
            }

            if (set.Attribute is not { } attribute)
            {
                Assign(set.Targets, value, scope);
                return;
            }

            if (scope.Find(set.Targets[0]) is not JinjaNamespace space)
            {
                throw JinjaErrors.Invalid($"'{set.Targets[0]}' is not a namespace, but its '{attribute}' is set");
            }

            space.Attributes[attribute] = value;
        }

        private static void Assign(IReadOnlyList<string> targets, object? value, JinjaScope scope)
        {
            if (targets.Count == 1)
            {
                scope.Set(targets[0], value);
                return;
            }

            List<object?> parts = JinjaValue.Items(value);
            if (parts.Count != targets.Count)
            {
                throw JinjaErrors.Invalid($"{parts.Count} values for {targets.Count} names");
            }

            for (int i = 0; i < parts.Count; i++)
            {
                scope.Set(targets[i], parts[i]);
            }
        }

        private string Call(MacroStatement macro, IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?> named, JinjaScope scope)
        {
            if (positional.Count > macro.Parameters.Count || named.Keys.Any(name => macro.Parameters.All(parameter => parameter.Name != name)))
            {
                throw JinjaErrors.Invalid($"the macro '{macro.Name}' is called with an argument that it does not have");
            }

            if (++depth > DeepestCall)
            {
                throw JinjaErrors.Invalid("macros call each other too deeply");
            }

            var inner = new JinjaScope(scope);
            for (int i = 0; i < macro.Parameters.Count; i++)
            {
                (string name, JinjaExpression? otherwise) = macro.Parameters[i];
                inner.Set(name, i < positional.Count ? positional[i]
                    : named.TryGetValue(name, out object? given) ? given
                    : otherwise is null ? new JinjaUndefined(name) : Evaluate(otherwise, inner));
            }

            var output = new StringBuilder();
            Execute(macro.Body, inner, output);
            depth--;
            return output.ToString();
        }

        private static void Append(StringBuilder output, string text)
        {
            if (output.Length + text.Length > LongestOutput)
            {
                throw JinjaErrors.Invalid("its output becomes too long");
            }

            output.Append(text);
        }

        private static JinjaDictionary Merged(IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?> named)
        {
            var merged = new JinjaDictionary();
            foreach ((string key, object? value) in positional.OfType<JinjaDictionary>().SelectMany(map => map).Concat(named))
            {
                merged[key] = value;
            }

            return merged;
        }

        private static List<object?> Range(long[] limits)
        {
            (long start, long stop, long step) = limits switch
            {
                [var end] => (0L, end, 1L),
                [var begin, var end] => (begin, end, 1L),
                [var begin, var end, not 0 and var by] => (begin, end, by),
                _ => throw JinjaErrors.Invalid("'range' needs one to three numbers"),
            };
            if ((stop - start) / step > 100_000)
            {
                throw JinjaErrors.Invalid("a range is too long");
            }

            var numbers = new List<object?>();
            for (long i = start; step > 0 ? i < stop : i > stop; i += step)
            {
                numbers.Add(i);
            }

            return numbers;
        }

        private string Formatted(string format)
        {
            var result = new StringBuilder();
            for (int i = 0; i < format.Length; i++)
            {
                if (format[i] != '%' || i + 1 == format.Length)
                {
                    result.Append(format[i]);
                    continue;
                }

                char code = format[++i];
                result.Append(code switch
                {
                    'd' => today.ToString("dd", CultureInfo.InvariantCulture),
                    'm' => today.ToString("MM", CultureInfo.InvariantCulture),
                    'Y' => today.ToString("yyyy", CultureInfo.InvariantCulture),
                    'y' => today.ToString("yy", CultureInfo.InvariantCulture),
                    'b' => today.ToString("MMM", CultureInfo.InvariantCulture),
                    'B' => today.ToString("MMMM", CultureInfo.InvariantCulture),
                    'a' => today.ToString("ddd", CultureInfo.InvariantCulture),
                    'A' => today.ToString("dddd", CultureInfo.InvariantCulture),
                    'H' => today.ToString("HH", CultureInfo.InvariantCulture),
                    'M' => today.ToString("mm", CultureInfo.InvariantCulture),
                    'S' => today.ToString("ss", CultureInfo.InvariantCulture),
                    '%' => "%",
                    _ => throw JinjaErrors.NotSupported($"the date format '%{code}'"),
                });
            }

            return result.ToString();
        }
    }
}
