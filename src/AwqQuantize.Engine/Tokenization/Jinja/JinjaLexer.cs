using System.Text;

namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>
/// Cuts a template into tokens, with <c>trim_blocks</c> and <c>lstrip_blocks</c> on, as transformers sets them.
/// </summary>
internal sealed class JinjaLexer
{
    private static readonly string[] Operators =
        ["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "|", ";"];

    private readonly string source;
    private readonly List<JinjaToken> tokens = [];
    private int position;
    private bool lineStarting = true;

    private JinjaLexer(string template)
    {
        string text = template.ReplaceLineEndings("\n");
        source = text.EndsWith('\n') ? text[..^1] : text;
    }

    public static List<JinjaToken> Tokenize(string template)
    {
        var lexer = new JinjaLexer(template);
        lexer.Run();
        return lexer.tokens;
    }

    private void Run()
    {
        while (position < source.Length)
        {
            int open = NextOpening(position);
            if (open < 0)
            {
                Add(JinjaTokenKind.Text, source[position..]);
                break;
            }

            char kind = source[open + 1];
            AddTextBefore(open, kind);
            position = open + 2;
            if (position < source.Length && source[position] is '-' or '+')
            {
                position++;
            }

            switch (kind)
            {
                case '#':
                    int close = source.IndexOf("#}", position, StringComparison.Ordinal);
                    position = close < 0 ? throw Error("a comment is not closed") : close;
                    AfterClosing(2, position > 0 && source[position - 1] == '-' ? '-' : ' ', trims: true);
                    break;
                case '{':
                    Add(JinjaTokenKind.OpenOutput, "");
                    ReadExpression("}}");
                    Add(JinjaTokenKind.CloseOutput, "");
                    break;
                default:
                    ReadStatement();
                    break;
            }
        }

        Add(JinjaTokenKind.End, "");
    }

    private int NextOpening(int from)
    {
        for (int at = source.IndexOf('{', from); at >= 0 && at + 1 < source.Length; at = source.IndexOf('{', at + 1))
        {
            if (source[at + 1] is '{' or '%' or '#')
            {
                return at;
            }
        }

        return -1;
    }

    private void AddTextBefore(int open, char kind)
    {
        string text = source[position..open];
        char modifier = open + 2 < source.Length ? source[open + 2] : ' ';
        if (modifier == '-')
        {
            text = text.TrimEnd();
        }
        else if (modifier != '+' && kind != '{')
        {
            int line = text.LastIndexOf('\n') + 1;
            if ((line > 0 || lineStarting) && text.AsSpan(line).IsWhiteSpace())
            {
                text = text[..line];
            }
        }

        if (text.Length > 0)
        {
            Add(JinjaTokenKind.Text, text);
        }
    }

    private void ReadStatement()
    {
        int start = tokens.Count;
        Add(JinjaTokenKind.OpenStatement, "");
        ReadExpression("%}");
        Add(JinjaTokenKind.CloseStatement, "");
        if (tokens.Count != start + 3 || tokens[start + 1] is not { Kind: JinjaTokenKind.Name, Text: "raw" })
        {
            return;
        }

        tokens.RemoveRange(start, 3);
        for (int at = source.IndexOf("{%", position, StringComparison.Ordinal); at >= 0; at = source.IndexOf("{%", at + 2, StringComparison.Ordinal))
        {
            string rest = source[(at + 2)..].TrimStart('-', '+').TrimStart();
            if (rest.StartsWith("endraw", StringComparison.Ordinal))
            {
                AddTextBefore(at, '%');
                position = source.IndexOf("%}", at, StringComparison.Ordinal);
                position = position < 0 ? throw Error("a block is not closed") : position;
                AfterClosing(2, source[position - 1], trims: true);
                return;
            }
        }

        throw Error("'raw' is not closed");
    }

    // Reads tokens up to the closing mark, which must stand outside brackets and strings.
    private void ReadExpression(string closing)
    {
        int depth = 0;
        while (true)
        {
            while (position < source.Length && char.IsWhiteSpace(source[position]))
            {
                position++;
            }

            if (position >= source.Length)
            {
                throw Error($"'{closing}' is missing");
            }

            if (depth == 0 && IsAt(closing))
            {
                AfterClosing(2, ' ', closing == "%}");
                return;
            }

            if (depth == 0 && source[position] is '-' or '+' && string.CompareOrdinal(source, position + 1, closing, 0, 2) == 0)
            {
                char modifier = source[position++];
                AfterClosing(2, modifier, closing == "%}");
                return;
            }

            depth += ReadToken();
        }
    }

    /// <returns>How much deeper in brackets the token leads.</returns>
    private int ReadToken()
    {
        char c = source[position];
        int start = position;
        if (c is '\'' or '"')
        {
            Add(JinjaTokenKind.String, ReadString(c));
            return 0;
        }

        if (char.IsLetter(c) || c == '_')
        {
            while (position < source.Length && (char.IsLetterOrDigit(source[position]) || source[position] == '_'))
            {
                position++;
            }

            Add(JinjaTokenKind.Name, source[start..position]);
            return 0;
        }

        if (char.IsAsciiDigit(c))
        {
            ReadNumber(start);
            return 0;
        }

        foreach (string symbol in Operators)
        {
            if (IsAt(symbol))
            {
                position += symbol.Length;
                Add(JinjaTokenKind.Operator, symbol);
                return symbol is "(" or "[" or "{" ? 1 : symbol is ")" or "]" or "}" ? -1 : 0;
            }
        }

        throw Error($"unexpected '{c}'");
    }

    private void ReadNumber(int start)
    {
        while (position < source.Length && (char.IsAsciiDigit(source[position]) || source[position] == '_'))
        {
            position++;
        }

        bool fraction = position + 1 < source.Length && source[position] == '.' && char.IsAsciiDigit(source[position + 1]);
        if (fraction)
        {
            position++;
            while (position < source.Length && char.IsAsciiDigit(source[position]))
            {
                position++;
            }
        }

        Add(fraction ? JinjaTokenKind.Float : JinjaTokenKind.Integer, source[start..position].Replace("_", "", StringComparison.Ordinal));
    }

    private string ReadString(char quote)
    {
        var text = new StringBuilder();
        for (position++; position < source.Length; position++)
        {
            char c = source[position];
            if (c == quote)
            {
                position++;
                return text.ToString();
            }

            if (c != '\\' || position + 1 >= source.Length)
            {
                text.Append(c);
                continue;
            }

            c = source[++position];
            switch (c)
            {
                case 'n':
                    text.Append('\n');
                    break;
                case 't':
                    text.Append('\t');
                    break;
                case 'r':
                    text.Append('\r');
                    break;
                case '\\' or '\'' or '"':
                    text.Append(c);
                    break;
                case '\n':
                    break;
                case 'u' when position + 4 < source.Length && ushort.TryParse(source.AsSpan(position + 1, 4), System.Globalization.NumberStyles.AllowHexSpecifier, null, out ushort unit):
                    text.Append((char)unit);
                    position += 4;
                    break;
                case 'x' when position + 2 < source.Length && byte.TryParse(source.AsSpan(position + 1, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte value):
                    text.Append((char)value);
                    position += 2;
                    break;
                default:
                    // Python keeps an escape that it does not know.
                    text.Append('\\').Append(c);
                    break;
            }
        }

        throw Error("a string is not closed");
    }

    private void AfterClosing(int length, char modifier, bool trims)
    {
        position += length;
        int start = position;
        if (modifier == '-')
        {
            while (position < source.Length && char.IsWhiteSpace(source[position]))
            {
                position++;
            }
        }
        else if (trims && modifier != '+' && position < source.Length && source[position] == '\n')
        {
            position++;
        }

        lineStarting = position > start && source[position - 1] == '\n';
    }

    private bool IsAt(string expected) => string.CompareOrdinal(source, position, expected, 0, expected.Length) == 0;

    private void Add(JinjaTokenKind kind, string text) => tokens.Add(new JinjaToken(kind, text, 1 + source.AsSpan(0, Math.Min(position, source.Length)).Count('\n')));

    private AwqException Error(string what) => JinjaErrors.Invalid($"line {1 + source.AsSpan(0, Math.Min(position, source.Length)).Count('\n')}: {what}");
}
