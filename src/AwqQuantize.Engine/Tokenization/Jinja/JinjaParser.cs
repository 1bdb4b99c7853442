namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>Parses templates. Statements that chat templates do not use are refused by name.</summary>
internal sealed class JinjaParser : JinjaExpressionParser
{
    private const int DeepestBlock = 50;

    private int depth;

    private JinjaParser(List<JinjaToken> tokens)
        : base(tokens)
    {
    }

    public static IReadOnlyList<JinjaStatement> Parse(string template)
    {
        var parser = new JinjaParser(JinjaLexer.Tokenize(template));
        List<JinjaStatement> body = parser.ParseBody(out string? end);
        return end is null ? body : throw parser.Error($"'{end}' without a beginning");
    }

    /// <param name="end">The name of the statement that ended the body, already taken; null at the end of the template.</param>
    private List<JinjaStatement> ParseBody(out string? end)
    {
        if (++depth > DeepestBlock)
        {
            throw Error("blocks are nested too deeply");
        }

        var body = new List<JinjaStatement>();
        while (true)
        {
            JinjaToken token = Next();
            switch (token.Kind)
            {
                case JinjaTokenKind.Text:
                    body.Add(new TextStatement(token.Text));
                    break;
                case JinjaTokenKind.OpenOutput:
                    body.Add(new OutputStatement(ParseTuple()));
                    Close(JinjaTokenKind.CloseOutput);
                    break;
                case JinjaTokenKind.End:
                    end = null;
                    depth--;
                    return body;
                default:
                    string name = ExpectName();
                    if (name is "elif" or "else" || name.StartsWith("end", StringComparison.Ordinal))
                    {
                        end = name;
                        depth--;
                        return body;
                    }

                    body.Add(ParseStatement(name));
                    break;
            }
        }
    }

    private JinjaStatement ParseStatement(string name)
    {
        switch (name)
        {
            case "if":
                return ParseIf();
            case "for":
                return ParseFor();
            case "set":
                return ParseSet();
            case "macro":
                return ParseMacro();
            case "break":
                Close();
                return new BreakStatement();
            case "continue":
                Close();
                return new ContinueStatement();
            case "generation":
                Close();
                return new BlockStatement(ParseUntil("endgeneration"));
            case "filter":
                string filter = ExpectName();
                JinjaArguments arguments = IsOperator("(") ? ParseArguments() : JinjaArguments.None;
                Close();
                return new FilterStatement(filter, arguments, ParseUntil("endfilter"));
            default:
                throw JinjaErrors.NotSupported($"the statement '{name}'");
        }
    }

    private IfStatement ParseIf()
    {
        var branches = new List<(JinjaExpression?, IReadOnlyList<JinjaStatement>)>();
        JinjaExpression? condition = ParseTuple();
        while (true)
        {
            Close();
            List<JinjaStatement> body = ParseBody(out string? end);
            branches.Add((condition, body));
            switch (end)
            {
                case "elif" when condition is not null:
                    condition = ParseTuple();
                    break;
                case "else" when condition is not null:
                    condition = null;
                    break;
                case "endif":
                    Close();
                    return new IfStatement(branches);
                default:
                    throw Error($"'if' is ended by '{end ?? "the end of the template"}'");
            }
        }
    }

    private ForStatement ParseFor()
    {
        List<string> targets = ParseTargets();
        if (!TryName("in"))
        {
            throw Error("'for' without 'in'");
        }

        JinjaExpression items = ParseTuple(withCondition: false);
        JinjaExpression? filter = TryName("if") ? ParseExpression() : null;
        if (IsName("recursive"))
        {
            throw JinjaErrors.NotSupported("recursive loops");
        }

        Close();
        List<JinjaStatement> body = ParseBody(out string? end);
        List<JinjaStatement> otherwise = [];
        if (end == "else")
        {
            Close();
            otherwise = ParseBody(out end);
        }

        if (end != "endfor")
        {
            throw Error($"'for' is ended by '{end ?? "the end of the template"}'");
        }

        Close();
        return new ForStatement(targets, items, filter, body, otherwise);
    }

    private SetStatement ParseSet()
    {
        List<string> targets = ParseTargets();
        string? attribute = TryOperator(".") ? ExpectName() : null;
        if (TryOperator("="))
        {
            JinjaExpression value = ParseTuple();
            Close();
            return new SetStatement(targets, attribute, value, []);
        }

        if (IsOperator("|"))
        {
            throw JinjaErrors.NotSupported("a 'set' block with filters");
        }

        Close();
        return new SetStatement(targets, attribute, null, ParseUntil("endset"));
    }

    private MacroStatement ParseMacro()
    {
        string name = ExpectName();
        var parameters = new List<(string, JinjaExpression?)>();
        Expect("(");
        while (!TryOperator(")"))
        {
            if (parameters.Count > 0)
            {
                Expect(",");
            }

            string parameter = ExpectName();
            parameters.Add((parameter, TryOperator("=") ? ParseExpression() : null));
        }

        Close();
        return new MacroStatement(name, parameters, ParseUntil("endmacro"));
    }

    private List<string> ParseTargets()
    {
        bool parenthesized = TryOperator("(");
        var targets = new List<string> { ExpectName() };
        while (TryOperator(","))
        {
            targets.Add(ExpectName());
        }

        if (parenthesized)
        {
            Expect(")");
        }

        return targets;
    }

    private List<JinjaStatement> ParseUntil(string expected)
    {
        List<JinjaStatement> body = ParseBody(out string? end);
        if (end != expected)
        {
            throw Error($"expected '{expected}' but found '{end ?? "the end of the template"}'");
        }

        // Macros may repeat their name at the end.
        if (Current.Kind == JinjaTokenKind.Name)
        {
            Next();
        }

        Close();
        return body;
    }

    private void Close(JinjaTokenKind kind = JinjaTokenKind.CloseStatement)
    {
        if (Current.Kind != kind)
        {
            throw Error($"unexpected '{Current.Text}'");
        }

        Next();
    }
}
