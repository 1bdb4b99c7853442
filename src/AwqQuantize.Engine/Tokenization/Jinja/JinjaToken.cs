namespace AwqQuantize.Engine.Tokenization.Jinja;

internal enum JinjaTokenKind
{
    Text,
    OpenOutput,
    CloseOutput,
    OpenStatement,
    CloseStatement,
    Name,
    String,
    Integer,
    Float,
    Operator,
    End,
}

internal readonly record struct JinjaToken(JinjaTokenKind Kind, string Text, int Line);
