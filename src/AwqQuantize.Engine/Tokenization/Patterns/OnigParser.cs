using System.Globalization;
using System.Text;
using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>
/// Parses Oniguruma's regular expressions in Ruby syntax (its doc/RE). What no tokenizer is known to use is refused by
/// name, never guessed.
/// </summary>
internal sealed class OnigParser(string source)
{
    private const int LongestPattern = 1 << 16;
    private const int DeepestNesting = 64;
    private const int GreatestCount = 100_000;

    private int position;
    private int depth;
    private bool ignoreCase;

    public PatternNode Parse()
    {
        if (source.Length > LongestPattern)
        {
            throw TokenizerErrors.Invalid($"a pattern is {source.Length} characters long");
        }

        PatternNode root = ParseAlternation();
        return position == source.Length ? root : throw Malformed("unmatched ')'");
    }

    private bool AtEnd => position >= source.Length;

    private PatternNode ParseAlternation()
    {
        if (++depth > DeepestNesting)
        {
            throw Malformed("nested too deeply");
        }

        bool outerCase = ignoreCase;
        var choices = new List<PatternNode> { ParseSequence() };
        while (!AtEnd && source[position] == '|')
        {
            position++;
            choices.Add(ParseSequence());
        }

        ignoreCase = outerCase;
        depth--;
        return choices.Count == 1 ? choices[0] : new AlternationNode(choices);
    }

    private PatternNode ParseSequence()
    {
        var parts = new List<PatternNode>();
        char previousLetter = '\0';
        while (!AtEnd && source[position] is not ('|' or ')'))
        {
            int start = position;
            PatternNode? atom = ParseAtom();
            if (atom is null)
            {
                continue;
            }

            char letter = ignoreCase && position == start + 1 && char.IsAsciiLetter(source[start]) ? char.ToLowerInvariant(source[start]) : '\0';
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
            throw NotTranslated($"'{first}{second}' without regard to case");
        }
    }

    /// <returns>Null for what sets an option.</returns>
    private PatternNode? ParseAtom()
    {
        char c = source[position];
        switch (c)
        {
            case '(':
                return ParseGroup();
            case '[':
                position++;
                return ParseSet();
            case '.':
                position++;
                return new SetNode { Negated = true, Items = [new RangeItem('\n', '\n')] };
            case '^':
                position++;
                return new AnchorNode(@"(?:\A|(?<=\n)(?!\z))");
            case '$':
                position++;
                return new AnchorNode(@"(?=\n|\z)");
            case '\\':
                return ParseEscape();
            case '*' or '+' or '?':
                throw Malformed($"nothing before '{c}'");
            default:
                return Cased(SetNode.Of(ReadCodePoint()));
        }
    }

    private PatternNode? ParseGroup()
    {
        position++;
        if (!TryTake("?"))
        {
            return Grouped("(?:");
        }

        foreach (string opening in (ReadOnlySpan<string>)[":", "=", "!", ">", "<=", "<!"])
        {
            if (TryTake(opening))
            {
                return Grouped("(?" + opening);
            }
        }

        bool on = true;
        bool wanted = ignoreCase;
        while (!AtEnd)
        {
            char option = source[position++];
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
                    throw NotTranslated($"the group '(?{option}'");
            }
        }

        throw Malformed("unmatched '('");
    }

    private GroupNode Grouped(string opening)
    {
        PatternNode inner = ParseAlternation();
        return TryTake(")") ? new GroupNode(opening, inner) : throw Malformed("unmatched '('");
    }

    private PatternNode ParseQuantifiers(PatternNode atom)
    {
        PatternNode node = atom;
        for (int stacked = 0; !AtEnd; stacked++)
        {
            int start = position;
            char c = source[position];
            (int minimum, int maximum) = (0, -1);
            bool interval = false;
            if (c is '*' or '+' or '?')
            {
                position++;
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
                throw NotTranslated($"'{source[start..position]}' after '{source[..start][^1]}'");
            }

            // "{n}?" is an optional "{n}" and "{n,m}+" a repeated "{n,m}" in Ruby's syntax.
            bool lazy = !(interval && minimum == maximum) && TryTake("?");
            bool possessive = !interval && !lazy && TryTake("+");
            node = new RepeatNode(node, minimum, maximum, lazy ? RepeatKind.Lazy : possessive ? RepeatKind.Possessive : RepeatKind.Greedy);
        }

        return node;
    }

    private bool TryReadInterval(out int minimum, out int maximum)
    {
        (minimum, maximum) = (0, -1);
        int close = source.IndexOf('}', position);
        if (close < 0)
        {
            return false;
        }

        string[] limits = source[(position + 1)..close].Split(',');
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
            throw NotTranslated("an interval whose maximum is below its minimum");
        }

        if (Math.Max(minimum, maximum) > GreatestCount)
        {
            throw Malformed("too big a number for repeat range");
        }

        position = close + 1;
        return true;
    }

    private static bool TryReadCount(string text, out int count) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out count);

    private PatternNode ParseEscape()
    {
        char c = Peek(1);
        switch (c)
        {
            case 'A' or 'z' or 'Z':
                position += 2;
                return new AnchorNode("\\" + c);
            case 'b' or 'B':
                position += 2;
                return new WordBoundaryNode(new SetNode { Items = [new TableItem(Table(@"\w"), false)] }, c == 'B');
        }

        SetItem? named = TryParseNamedSet(inSet: false);
        if (named is not null)
        {
            return ignoreCase && named is CategoryItem { Name: not ("N" or "Nd" or "P" or "Z") }
                ? throw NotTranslated("a category of characters without regard to case")
                : new SetNode { Items = [named] };
        }

        return Cased(SetNode.Of(ReadEscapedCodePoint()));
    }

    // After "[".
    private SetNode ParseSet()
    {
        if (++depth > DeepestNesting)
        {
            throw Malformed("nested too deeply");
        }

        bool negated = TryTake("^");
        var items = new List<SetItem>();
        var intersected = new List<SetNode>();
        List<SetItem> firstItems = items;
        if (!AtEnd && source[position] == ']')
        {
            throw NotTranslated("']' at the start of a character class");
        }

        while (true)
        {
            if (AtEnd)
            {
                throw Malformed("premature end of a character class");
            }

            if (TryTake("]"))
            {
                break;
            }

            if (TryTake("&&"))
            {
                if (items.Count == 0)
                {
                    throw NotTranslated("'&&' with nothing before it");
                }

                items = [];
                intersected.Add(new SetNode { Items = items });
                continue;
            }

            items.Add(ParseSetItem());
        }

        depth--;
        if (firstItems.Count == 0 || intersected.Any(set => set.Items.Count == 0))
        {
            throw Malformed("empty character class");
        }

        return Cased(new SetNode { Negated = negated, Items = firstItems, Intersected = intersected });
    }

    private SetItem ParseSetItem()
    {
        if (TryTake("[:"))
        {
            bool negated = TryTake("^");
            int close = source.IndexOf(":]", position, StringComparison.Ordinal);
            string name = close < 0 ? "" : source[position..close];
            CodePointSet set = UnicodeTables.Find($"onig:[:{name}:]") ?? throw NotTranslated($"the bracket '[:{name}:]'");
            position = close + 2;
            return new TableItem(set, negated);
        }

        if (TryTake("["))
        {
            return new NestedItem(ParseSet());
        }

        if (source[position] == '\\' && TryParseNamedSet(inSet: true) is { } named)
        {
            return ignoreCase && named is CategoryItem { Name: not ("N" or "Nd" or "P" or "Z") }
                ? throw NotTranslated("a category of characters without regard to case") : named;
        }

        int first = source[position] == '\\' ? ReadEscapedCodePoint() : ReadCodePoint();
        if (Peek(0) != '-' || Peek(1) is ']' or '\0')
        {
            return new RangeItem(first, first);
        }

        position++;
        if (source[position] == '[' || (source[position] == '\\' && IsNamedSet(Peek(1))))
        {
            throw NotTranslated("a range that ends in a set");
        }

        int last = source[position] == '\\' ? ReadEscapedCodePoint() : ReadCodePoint();
        return last < first ? throw Malformed("empty range in a character class") : new RangeItem(first, last);
    }

    private static bool IsNamedSet(char c) => c is 'p' or 'P' or 's' or 'S' or 'd' or 'D' or 'w' or 'W' or 'h' or 'H';

    private SetItem? TryParseNamedSet(bool inSet)
    {
        char c = Peek(1);
        if (!IsNamedSet(c))
        {
            return null;
        }

        position += 2;
        if (c is 's' or 'S')
        {
            return new WhiteSpaceItem(c == 'S');
        }

        if (c is 'd' or 'D')
        {
            return new CategoryItem("Nd", c == 'D');
        }

        if (c is not ('p' or 'P'))
        {
            string name = "\\" + char.ToLowerInvariant(c);
            return new TableItem(Table(inSet && name == @"\w" ? @"[\w]" : name), char.IsUpper(c));
        }

        int close = source.IndexOf('}', position);
        if (Peek(0) != '{' || close < 0)
        {
            throw Malformed("invalid character property");
        }

        string property = source[(position + 1)..close];
        position = close + 1;
        bool negated = c == 'P';
        if (property.StartsWith('^'))
        {
            (property, negated) = (property[1..], !negated);
        }

        if (GeneralCategories.IsName(property))
        {
            return new CategoryItem(property, negated);
        }

        return new TableItem(UnicodeTables.Find($"onig:\\p{{{property}}}") ?? throw NotTranslated($"the character property '{property}'"), negated);
    }

    private int ReadCodePoint()
    {
        int codePoint = char.ConvertToUtf32(source, position);
        position += codePoint > char.MaxValue ? 2 : 1;
        return codePoint;
    }

    private int ReadEscapedCodePoint()
    {
        char c = Peek(1);
        position += 2;
        switch (c)
        {
            case '\0':
                throw Malformed("end pattern at escape");
            case 't':
                return '\t';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 'f':
                return '\f';
            case 'v':
                return '\v';
            case 'a':
                return '\a';
            case 'e':
                return 0x1B;
            case 'u':
                return ReadHex(4);
            case 'x' when Peek(0) == '{':
                int close = source.IndexOf('}', position);
                position++;
                int wide = ReadHex(close - position);
                position++;
                return wide;
            case 'x':
                int narrow = ReadHex(2);
                return narrow < 0x80 ? narrow : throw NotTranslated("a byte escape");
            default:
                if (char.IsAsciiLetterOrDigit(c))
                {
                    throw NotTranslated($"the escape '\\{c}'");
                }

                position--;
                return ReadCodePoint();
        }
    }

    private int ReadHex(int digits)
    {
        if (digits is < 1 or > 8 || position + digits > source.Length
            || !int.TryParse(source.AsSpan(position, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value)
            || !Rune.IsValid(value))
        {
            throw Malformed("invalid code point value");
        }

        position += digits;
        return value;
    }

    // Simple case folding of ASCII, with the two other characters that fold to it: long s and the Kelvin sign.
    private SetNode Cased(SetNode set)
    {
        if (!ignoreCase)
        {
            return set;
        }

        var items = new List<SetItem>(set.Items);
        foreach (SetItem item in set.Items)
        {
            if (item is not RangeItem range)
            {
                continue;
            }

            if (range.Last > 0x7F)
            {
                throw NotTranslated("a character beyond ASCII without regard to case");
            }

            for (int c = range.First; c <= range.Last; c++)
            {
                if (!char.IsAsciiLetter((char)c))
                {
                    continue;
                }

                items.Add(new RangeItem(c ^ 0x20, c ^ 0x20));
                if ((c | 0x20) is 's' or 'k')
                {
                    int other = (c | 0x20) == 's' ? 0x17F : 0x212A;
                    items.Add(new RangeItem(other, other));
                }
            }
        }

        return set.Intersected.Count > 0 ? throw NotTranslated("'&&' without regard to case") : set with { Items = items };
    }

    private static CodePointSet Table(string name) =>
        UnicodeTables.Find("onig:" + name) ?? throw new InvalidOperationException($"The Unicode tables lack {name}.");

    private char Peek(int ahead) => position + ahead < source.Length ? source[position + ahead] : '\0';

    private bool TryTake(string expected)
    {
        if (string.CompareOrdinal(source, position, expected, 0, expected.Length) != 0)
        {
            return false;
        }

        position += expected.Length;
        return true;
    }

    private string Shown => source.Length <= 80 ? source : source[..80] + "…";

    private AwqException Malformed(string why) => TokenizerErrors.Invalid($"the regular expression '{Shown}': {why}");

    private AwqException NotTranslated(string what) => TokenizerErrors.NotSupported($"{what} in the regular expression '{Shown}'");
}
