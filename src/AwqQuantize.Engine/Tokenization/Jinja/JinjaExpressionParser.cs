using System.Globalization;

namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>Parses expressions, with Jinja's precedences.</summary>
internal class JinjaExpressionParser(List<JinjaToken> tokens)
{
    private const int DeepestNesting = 100;

    private int index;
    private int depth;

    protected JinjaToken Current => tokens[Math.Min(index, tokens.Count - 1)];

    // The end repeats for ever.
    protected JinjaToken Next() => tokens[Math.Min(index++, tokens.Count - 1)];

    /// <summary>Also takes a tuple without parentheses.</summary>
    protected JinjaExpression ParseTuple(bool withCondition = true)
    {
        JinjaExpression first = withCondition ? ParseExpression() : ParseOr();
        if (!IsOperator(","))
        {
            return first;
        }

        var items = new List<JinjaExpression> { first };
        while (TryOperator(",") && Current.Kind is not (JinjaTokenKind.CloseStatement or JinjaTokenKind.CloseOutput))
        {
            items.Add(withCondition ? ParseExpression() : ParseOr());
        }

        return new ListExpression(items);
    }

    protected JinjaExpression ParseExpression()
    {
        if (++depth > DeepestNesting)
        {
            throw Error("an expression is nested too deeply");
        }

        JinjaExpression value = ParseOr();
        while (TryName("if"))
        {
            JinjaExpression condition = ParseOr();
            value = new ConditionalExpression(condition, value, TryName("else") ? ParseExpression() : null);
        }

        depth--;
        return value;
    }

    protected JinjaExpression ParseOr()
    {
        JinjaExpression left = ParseAnd();
        while (TryName("or"))
        {
            left = new BinaryExpression("or", left, ParseAnd());
        }

        return left;
    }

    protected JinjaArguments ParseArguments()
    {
        var positional = new List<JinjaExpression>();
        var named = new List<(string, JinjaExpression)>();
        Expect("(");
        while (!TryOperator(")"))
        {
            if (positional.Count + named.Count > 0)
            {
                Expect(",");
                if (TryOperator(")"))
                {
                    break;
                }
            }

            if (IsOperator("*") || IsOperator("**"))
            {
                throw JinjaErrors.NotSupported("unpacked arguments");
            }

            if (Current.Kind == JinjaTokenKind.Name && tokens[Math.Min(index + 1, tokens.Count - 1)] is { Kind: JinjaTokenKind.Operator, Text: "=" })
            {
                string name = Next().Text;
                index++;
                named.Add((name, ParseExpression()));
            }
            else
            {
                positional.Add(ParseExpression());
            }
        }

        return new JinjaArguments(positional, named);
    }

    protected bool IsOperator(string text) => Current.Kind == JinjaTokenKind.Operator && Current.Text == text;

    protected bool IsName(string text) => Current.Kind == JinjaTokenKind.Name && Current.Text == text;

    protected bool TryOperator(string text)
    {
        bool found = IsOperator(text);
        index += found ? 1 : 0;
        return found;
    }

    protected bool TryName(string text)
    {
        bool found = IsName(text);
        index += found ? 1 : 0;
        return found;
    }

    protected void Expect(string symbol)
    {
        if (!TryOperator(symbol))
        {
            throw Error($"expected '{symbol}' before '{Current.Text}'");
        }
    }

    protected string ExpectName() => Current.Kind == JinjaTokenKind.Name ? Next().Text : throw Error($"expected a name before '{Current.Text}'");

    protected AwqException Error(string what) => JinjaErrors.Invalid($"line {Current.Line}: {what}");

    private JinjaExpression ParseAnd()
    {
        JinjaExpression left = ParseNot();
        while (TryName("and"))
        {
            left = new BinaryExpression("and", left, ParseNot());
        }

        return left;
    }

    private JinjaExpression ParseNot()
    {
        if (!TryName("not"))
        {
            return ParseCompare();
        }

        if (++depth > DeepestNesting)
        {
            throw Error("an expression is nested too deeply");
        }

        var value = new UnaryExpression("not", ParseNot());
        depth--;
        return value;
    }

    private JinjaExpression ParseCompare()
    {
        JinjaExpression first = ParseBinary(0);
        var rest = new List<(string, JinjaExpression)>();
        while (true)
        {
            if (Current.Kind == JinjaTokenKind.Operator && Current.Text is "==" or "!=" or "<" or "<=" or ">" or ">=")
            {
                string symbol = Next().Text;
                rest.Add((symbol, ParseBinary(0)));
            }
            else if (TryName("in"))
            {
                rest.Add(("in", ParseBinary(0)));
            }
            else if (IsName("not") && tokens[Math.Min(index + 1, tokens.Count - 1)] is { Kind: JinjaTokenKind.Name, Text: "in" })
            {
                index += 2;
                rest.Add(("not in", ParseBinary(0)));
            }
            else
            {
                return rest.Count == 0 ? first : new CompareExpression(first, rest);
            }
        }
    }

    private static readonly string[][] Levels = [["+", "-"], ["~"], ["*", "/", "//", "%"]];

    private JinjaExpression ParseBinary(int level)
    {
        if (level == Levels.Length)
        {
            return ParsePower();
        }

        JinjaExpression left = ParseBinary(level + 1);
        while (Current.Kind == JinjaTokenKind.Operator && Levels[level].Contains(Current.Text))
        {
            string symbol = Next().Text;
            left = new BinaryExpression(symbol, left, ParseBinary(level + 1));
        }

        return left;
    }

    private JinjaExpression ParsePower()
    {
        JinjaExpression left = ParseUnary(withFilter: true);
        while (TryOperator("**"))
        {
            left = new BinaryExpression("**", left, ParseUnary(withFilter: true));
        }

        return left;
    }

    private JinjaExpression ParseUnary(bool withFilter)
    {
        if (++depth > DeepestNesting)
        {
            throw Error("an expression is nested too deeply");
        }

        JinjaExpression node = Current.Kind == JinjaTokenKind.Operator && Current.Text is "-" or "+"
            ? new UnaryExpression(Next().Text, ParseUnary(withFilter: false))
            : ParsePrimary();
        node = ParsePostfix(node);
        depth--;
        return withFilter ? ParseFilters(node) : node;
    }

    private JinjaExpression ParsePrimary()
    {
        JinjaToken token = Next();
        switch (token.Kind)
        {
            case JinjaTokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new LiteralExpression(true),
                    "false" or "False" => new LiteralExpression(false),
                    "none" or "None" => new LiteralExpression(null),
                    _ => new NameExpression(token.Text),
                };
            case JinjaTokenKind.String:
                string text = token.Text;
                while (Current.Kind == JinjaTokenKind.String)
                {
                    text += Next().Text;
                }

                return new LiteralExpression(text);
            case JinjaTokenKind.Integer:
                return new LiteralExpression(long.TryParse(token.Text, CultureInfo.InvariantCulture, out long integer) ? integer : throw Error($"the number {token.Text} is too large"));
            case JinjaTokenKind.Float:
                return new LiteralExpression(double.Parse(token.Text, CultureInfo.InvariantCulture));
            case JinjaTokenKind.Operator when token.Text == "(":
                return ParseParenthesized();
            case JinjaTokenKind.Operator when token.Text == "[":
                return new ListExpression(ParseItems("]", ParseExpression));
            case JinjaTokenKind.Operator when token.Text == "{":
                return new DictionaryExpression(ParseItems("}", () =>
                {
                    JinjaExpression key = ParseExpression();
                    Expect(":");
                    return (key, ParseExpression());
                }));
            default:
                throw Error($"unexpected '{token.Text}'");
        }
    }

    private JinjaExpression ParseParenthesized()
    {
        if (TryOperator(")"))
        {
            return new ListExpression([]);
        }

        JinjaExpression first = ParseExpression();
        if (TryOperator(")"))
        {
            return first;
        }

        Expect(",");
        return new ListExpression([first, .. ParseItems(")", ParseExpression)]);
    }

    private List<T> ParseItems<T>(string closing, Func<T> parse)
    {
        var items = new List<T>();
        while (!TryOperator(closing))
        {
            items.Add(parse());
            if (!IsOperator(closing))
            {
                Expect(",");
            }
        }

        return items;
    }

    private JinjaExpression ParsePostfix(JinjaExpression node)
    {
        while (true)
        {
            if (TryOperator("."))
            {
                node = Current.Kind == JinjaTokenKind.Integer
                    ? new SubscriptExpression(node, new LiteralExpression(long.Parse(Next().Text, CultureInfo.InvariantCulture)))
                    : new AttributeExpression(node, ExpectName());
            }
            else if (TryOperator("["))
            {
                node = ParseSubscript(node);
            }
            else if (IsOperator("("))
            {
                node = new CallExpression(node, ParseArguments());
            }
            else
            {
                return node;
            }
        }
    }

    private JinjaExpression ParseSubscript(JinjaExpression node)
    {
        JinjaExpression? start = IsOperator(":") ? null : ParseExpression();
        if (TryOperator("]"))
        {
            return new SubscriptExpression(node, start!);
        }

        Expect(":");
        JinjaExpression? stop = IsOperator(":") || IsOperator("]") ? null : ParseExpression();
        JinjaExpression? step = TryOperator(":") && !IsOperator("]") ? ParseExpression() : null;
        Expect("]");
        return new SliceExpression(node, start, stop, step);
    }

    private JinjaExpression ParseFilters(JinjaExpression node)
    {
        while (true)
        {
            if (TryOperator("|"))
            {
                string name = ExpectName();
                node = new FilterExpression(node, name, IsOperator("(") ? ParseArguments() : JinjaArguments.None);
            }
            else if (TryName("is"))
            {
                bool negated = TryName("not");
                string name = ExpectName();
                node = new TestExpression(node, name, ParseTestArguments(), negated);
            }
            else if (IsOperator("("))
            {
                node = new CallExpression(node, ParseArguments());
            }
            else
            {
                return node;
            }
        }
    }

    private JinjaArguments ParseTestArguments()
    {
        if (IsOperator("("))
        {
            return ParseArguments();
        }

        bool follows = Current.Kind is JinjaTokenKind.String or JinjaTokenKind.Integer or JinjaTokenKind.Float
            || IsOperator("[") || IsOperator("{")
            || (Current.Kind == JinjaTokenKind.Name && Current.Text is not ("else" or "or" or "and" or "is" or "if" or "not" or "in"));
        return follows ? new JinjaArguments([ParsePostfix(ParsePrimary())], []) : JinjaArguments.None;
    }
}
