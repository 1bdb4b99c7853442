using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>Parses what stands for one character out of many: bracketed classes, properties and classes by letter.</summary>
internal sealed class OnigSetParser(PatternSource source)
{
    /// <summary>A bracketed class, from behind its "[" on.</summary>
    public SetNode ParseSet(bool ignoreCase)
    {
        source.Enter();
        bool negated = source.TryTake("^");
        var items = new List<SetItem>();
        var intersected = new List<SetNode>();
        List<SetItem> firstItems = items;
        if (!source.AtEnd && source.Peek() == ']')
        {
            throw source.NotTranslated("']' at the start of a character class");
        }

        while (true)
        {
            if (source.AtEnd)
            {
                throw source.Malformed("premature end of a character class");
            }

            if (source.TryTake("]"))
            {
                break;
            }

            if (source.TryTake("&&"))
            {
                if (items.Count == 0)
                {
                    throw source.NotTranslated("'&&' with nothing before it");
                }

                items = [];
                intersected.Add(new SetNode { Items = items });
                continue;
            }

            items.Add(ParseItem(ignoreCase));
        }

        source.Leave();
        if (firstItems.Count == 0 || intersected.Any(set => set.Items.Count == 0))
        {
            throw source.Malformed("empty character class");
        }

        return Cased(new SetNode { Negated = negated, Items = firstItems, Intersected = intersected }, ignoreCase);
    }

    /// <summary>A class by its letter or a property, if one stands here.</summary>
    /// <param name="inSet">Within brackets, where Oniguruma's word characters are others.</param>
    public SetItem? TryParseNamed(bool inSet, bool ignoreCase)
    {
        if (source.Peek() != '\\' || !IsNamedSet(source.Peek(1)))
        {
            return null;
        }

        SetItem item = ParseNamed(inSet);
        return ignoreCase && item is CategoryItem { Name: not ("N" or "Nd" or "P" or "Z") }
            ? throw source.NotTranslated("a category of characters without regard to case") : item;
    }

    /// <summary>The set with what folds to its members: ASCII by simple case folding, the long s and the Kelvin sign.</summary>
    public SetNode Cased(SetNode set, bool ignoreCase)
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
                throw source.NotTranslated("a character beyond ASCII without regard to case");
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

        return set.Intersected.Count > 0 ? throw source.NotTranslated("'&&' without regard to case") : set with { Items = items };
    }

    public static CodePointSet Table(string name) =>
        UnicodeTables.Find("onig:" + name) ?? throw new InvalidOperationException($"The Unicode tables lack {name}.");

    private SetItem ParseItem(bool ignoreCase)
    {
        if (source.TryTake("[:"))
        {
            bool negated = source.TryTake("^");
            string name = source.TakeUntil(":]") ?? "";
            return new TableItem(UnicodeTables.Find($"onig:[:{name}:]") ?? throw source.NotTranslated($"the bracket '[:{name}:]'"), negated);
        }

        if (source.TryTake("["))
        {
            return new NestedItem(ParseSet(ignoreCase));
        }

        if (TryParseNamed(inSet: true, ignoreCase) is { } named)
        {
            return named;
        }

        int first = source.Peek() == '\\' ? source.ReadEscapedCodePoint() : source.ReadCodePoint();
        if (source.Peek() != '-' || source.Peek(1) is ']' or '\0')
        {
            return new RangeItem(first, first);
        }

        source.Position++;
        if (source.Peek() == '[' || (source.Peek() == '\\' && IsNamedSet(source.Peek(1))))
        {
            throw source.NotTranslated("a range that ends in a set");
        }

        int last = source.Peek() == '\\' ? source.ReadEscapedCodePoint() : source.ReadCodePoint();
        return last < first ? throw source.Malformed("empty range in a character class") : new RangeItem(first, last);
    }

    private static bool IsNamedSet(char c) => c is 'p' or 'P' or 's' or 'S' or 'd' or 'D' or 'w' or 'W' or 'h' or 'H';

    private SetItem ParseNamed(bool inSet)
    {
        char c = source.Peek(1);
        source.Position += 2;
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

        if (!source.TryTake("{") || source.TakeUntil("}") is not { } property)
        {
            throw source.Malformed("invalid character property");
        }

        bool negated = c == 'P';
        if (property.StartsWith('^'))
        {
            (property, negated) = (property[1..], !negated);
        }

        if (GeneralCategories.IsName(property))
        {
            return new CategoryItem(property, negated);
        }

        return new TableItem(UnicodeTables.Find($"onig:\\p{{{property}}}") ?? throw source.NotTranslated($"the character property '{property}'"), negated);
    }
}
