using System.Globalization;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>
/// Parses Oniguruma's regular expressions in Ruby syntax (its doc/RE). What no tokenizer is known to use is refused by
/// name, never guessed.
/// </summary>
internal sealed class OnigParser
{
    private const int LongestPattern = 1 << 16;
    private const int GreatestCount = 100_000;

    private readonly PatternSource source;
    private readonly OnigSetParser sets;
    private bool ignoreCase;

    public OnigParser(string pattern)
    {
        source = new PatternSource(pattern);
        sets = new OnigSetParser(source);
    }

    public PatternNode Parse()
    {
        if (source.Length > LongestPattern)
        {
            throw TokenizerErrors.Invalid($"a pattern is {source.Length} characters long");
        }

        PatternNode root = ParseAlternation();
        return source.Position == source.Length ? root : throw source.Malformed("unmatched ')'");
    }

    private PatternNode ParseAlternation()
    {
        source.Enter();
        bool outerCase = ignoreCase;
        var choices = new List<PatternNode> { ParseSequence() };
        while (!source.AtEnd && source.Peek() == '|')
        {
            source.Position++;
            choices.Add(ParseSequence());
        }

        ignoreCase = outerCase;
        source.Leave();
        return choices.Count == 1 ? choices[0] : new AlternationNode(choices);
    }

    private PatternNode ParseSequence()
    {
        var parts = new List<PatternNode>();
        char previousLetter = '\0';
        while (!source.AtEnd && source.Peek() is not ('|' or ')'))
        {
            int start = source.Position;
            PatternNode? atom = ParseAtom();
            if (atom is null)
            {
                continue;
            }

            char letter = ignoreCase && source.Position == start + 1 && char.IsAsciiLetter(source[start]) ? char.ToLowerInvariant(source[start]) : '\0';
            RefuseMultiCharacterFolding(previousLetter, letter);
            previousLetter = letter;
            parts.Add(ParseQuantifiers(atom));
        }

        return parts.Count == 1 ? parts[0] : new SequenceNode(parts);
    }

    // Oniguruma folds "ss" with ß, "fi" with its ligature and so on, where case does not count.
    private void RefuseMultiCharacterFolding(char first, char second)
    {
        if ((first, second) is ('s', 's') or ('s', 't') or ('f', 'f') or ('f', 'i') or ('f', 'l'))
        {
            throw source.NotTranslated($"'{first}{second}' without regard to case");
        }
    }

    /// <returns>Null for what sets an option.</returns>
    private PatternNode? ParseAtom()
    {
        char c = source.Peek();
        switch (c)
        {
            case '(':
                return ParseGroup();
            case '[':
                source.Position++;
                return sets.ParseSet(ignoreCase);
            case '.':
                source.Position++;
                return new SetNode { Negated = true, Items = [new RangeItem('\n', '\n')] };
            case '^':
                source.Position++;
                return new AnchorNode(@"(?:\A|(?<=\n)(?!\z))");
            case '$':
                source.Position++;
                return new AnchorNode(@"(?=\n|\z)");
            case '\\':
                return ParseEscape();
            case '*' or '+' or '?':
                throw source.Malformed($"nothing before '{c}'");
            default:
                return sets.Cased(SetNode.Of(source.ReadCodePoint()), ignoreCase);
        }
    }

    private PatternNode? ParseGroup()
    {
        source.Position++;
        if (!source.TryTake("?"))
        {
            return Grouped("(?:");
        }

        foreach (string opening in (ReadOnlySpan<string>)[":", "=", "!", ">", "<=", "<!"])
        {
            if (source.TryTake(opening))
            {
                return Grouped("(?" + opening);
            }
        }

        bool on = true;
        bool wanted = ignoreCase;
        while (!source.AtEnd)
        {
            char option = source[source.Position++];
            switch (option)
            {
                case '-':
                    on = false;
                    break;
                case 'i':
                    wanted = on;
                    break;
                case ')':
                    ignoreCase = wanted;
                    return null;
                case ':':
                    bool outer = ignoreCase;
                    ignoreCase = wanted;
                    PatternNode group = Grouped("(?:");
                    ignoreCase = outer;
                    return group;
                default:
                    throw source.NotTranslated($"the group '(?{option}'");
            }
        }

        throw source.Malformed("unmatched '('");
    }

    private GroupNode Grouped(string opening)
    {
        PatternNode inner = ParseAlternation();
        return source.TryTake(")") ? new GroupNode(opening, inner) : throw source.Malformed("unmatched '('");
    }

    private PatternNode ParseQuantifiers(PatternNode atom)
    {
        PatternNode node = atom;
        for (int stacked = 0; !source.AtEnd; stacked++)
        {
            int start = source.Position;
            char c = source.Peek();
            (int minimum, int maximum) = (0, -1);
            bool interval = false;
            if (c is '*' or '+' or '?')
            {
                source.Position++;
                (minimum, maximum) = c switch { '*' => (0, -1), '+' => (1, -1), _ => (0, 1) };
            }
            else if (c == '{' && TryReadInterval(out minimum, out maximum))
            {
                interval = true;
            }
            else
            {
                return node;
            }

            if (stacked > 4 || atom is AnchorNode or WordBoundaryNode)
            {
                throw source.NotTranslated($"'{source.Slice(start, source.Position)}' after '{source[start - 1]}'");
            }

            // "{n}?" is an optional "{n}" and "{n,m}+" a repeated "{n,m}" in Ruby's syntax.
            bool lazy = !(interval && minimum == maximum) && source.TryTake("?");
            bool possessive = !interval && !lazy && source.TryTake("+");
            node = new RepeatNode(node, minimum, maximum, lazy ? RepeatKind.Lazy : possessive ? RepeatKind.Possessive : RepeatKind.Greedy);
        }

        return node;
    }

    private bool TryReadInterval(out int minimum, out int maximum)
    {
        (minimum, maximum) = (0, -1);
        int open = source.Position++;
        bool isInterval = source.TakeUntil("}") is { } text && TryParseInterval(text, out minimum, out maximum);
        source.Position = isInterval ? source.Position : open;
        return isInterval;
    }

    private bool TryParseInterval(string text, out int minimum, out int maximum)
    {
        (minimum, maximum) = (0, -1);
        string[] limits = text.Split(',');
        bool hasMinimum = TryReadCount(limits[0], out minimum);
        if (limits.Length > 2 || limits.Any(limit => limit.Length > 0 && !TryReadCount(limit, out _)) || (limits.Length == 1 && !hasMinimum))
        {
            return false;
        }

        bool hasMaximum = limits.Length == 2 && TryReadCount(limits[1], out maximum);
        if (limits.Length == 2 && !hasMaximum)
        {
            if (!hasMinimum)
            {
                return false;
            }

            maximum = -1;
        }

        maximum = limits.Length == 1 ? minimum : maximum;
        if (maximum >= 0 && maximum < minimum)
        {
            throw source.NotTranslated("an interval whose maximum is below its minimum");
        }

        if (Math.Max(minimum, maximum) > GreatestCount)
        {
            throw source.Malformed("too big a number for repeat range");
        }

        return true;
    }

    private static bool TryReadCount(string text, out int count) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out count);

    private PatternNode ParseEscape()
    {
        char c = source.Peek(1);
        switch (c)
        {
            case 'A' or 'z' or 'Z':
                source.Position += 2;
                return new AnchorNode("\\" + c);
            case 'b' or 'B':
                source.Position += 2;
                return new WordBoundaryNode(new SetNode { Items = [new TableItem(OnigSetParser.Table(@"\w"), false)] }, c == 'B');
        }

        return sets.TryParseNamed(inSet: false, ignoreCase) is { } named
            ? new SetNode { Items = [named] }
            : sets.Cased(SetNode.Of(source.ReadEscapedCodePoint()), ignoreCase);
    }
}
