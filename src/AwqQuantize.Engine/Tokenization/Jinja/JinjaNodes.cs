namespace AwqQuantize.Engine.Tokenization.Jinja;

internal abstract record JinjaExpression;

internal sealed record LiteralExpression(object? Value) : JinjaExpression;

internal sealed record NameExpression(string Name) : JinjaExpression;

internal sealed record ListExpression(IReadOnlyList<JinjaExpression> Items) : JinjaExpression;

internal sealed record DictionaryExpression(IReadOnlyList<(JinjaExpression Key, JinjaExpression Value)> Items) : JinjaExpression;

internal sealed record UnaryExpression(string Operator, JinjaExpression Operand) : JinjaExpression;

internal sealed record BinaryExpression(string Operator, JinjaExpression Left, JinjaExpression Right) : JinjaExpression;

/// <summary><c>a &lt; b &lt; c</c>: each operand is compared with the next.</summary>
internal sealed record CompareExpression(JinjaExpression First, IReadOnlyList<(string Operator, JinjaExpression Operand)> Rest) : JinjaExpression;

internal sealed record ConditionalExpression(JinjaExpression Condition, JinjaExpression Then, JinjaExpression? Else) : JinjaExpression;

internal sealed record AttributeExpression(JinjaExpression Target, string Name) : JinjaExpression;

internal sealed record SubscriptExpression(JinjaExpression Target, JinjaExpression Key) : JinjaExpression;

internal sealed record SliceExpression(JinjaExpression Target, JinjaExpression? Start, JinjaExpression? Stop, JinjaExpression? Step) : JinjaExpression;

internal sealed record JinjaArguments(IReadOnlyList<JinjaExpression> Positional, IReadOnlyList<(string Name, JinjaExpression Value)> Named)
{
    public static readonly JinjaArguments None = new([], []);
}

internal sealed record CallExpression(JinjaExpression Target, JinjaArguments Arguments) : JinjaExpression;

internal sealed record FilterExpression(JinjaExpression Target, string Name, JinjaArguments Arguments) : JinjaExpression;

internal sealed record TestExpression(JinjaExpression Target, string Name, JinjaArguments Arguments, bool Negated) : JinjaExpression;

internal abstract record JinjaStatement;

internal sealed record TextStatement(string Text) : JinjaStatement;

internal sealed record OutputStatement(JinjaExpression Value) : JinjaStatement;

internal sealed record IfStatement(IReadOnlyList<(JinjaExpression? Condition, IReadOnlyList<JinjaStatement> Body)> Branches) : JinjaStatement;

internal sealed record ForStatement(
    IReadOnlyList<string> Targets, JinjaExpression Items, JinjaExpression? Filter, IReadOnlyList<JinjaStatement> Body, IReadOnlyList<JinjaStatement> Otherwise) : JinjaStatement;

/// <summary><c>set</c>; with an attribute it changes a namespace.</summary>
internal sealed record SetStatement(IReadOnlyList<string> Targets, string? Attribute, JinjaExpression? Value, IReadOnlyList<JinjaStatement> Body) : JinjaStatement;

internal sealed record MacroStatement(string Name, IReadOnlyList<(string Name, JinjaExpression? Default)> Parameters, IReadOnlyList<JinjaStatement> Body) : JinjaStatement;

/// <summary>A block that only marks its body, as transformers' <c>generation</c> does.</summary>
internal sealed record BlockStatement(IReadOnlyList<JinjaStatement> Body) : JinjaStatement;

internal sealed record FilterStatement(string Name, JinjaArguments Arguments, IReadOnlyList<JinjaStatement> Body) : JinjaStatement;

internal sealed record BreakStatement : JinjaStatement;

internal sealed record ContinueStatement : JinjaStatement;
