using System.Globalization;
using System.Text;
using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>The proxy characters that stand for members of a set, and those that do not.</summary>
internal sealed record ProxyMembers(char[] Inside, char[] Outside);

/// <summary>Writes a parsed pattern as a .NET regular expression.</summary>
internal sealed class PatternEmitter
{
    private readonly StringBuilder output = new();
    private readonly IReadOnlyDictionary<SetNode, ProxyMembers>? proxies;

    private PatternEmitter(IReadOnlyDictionary<SetNode, ProxyMembers>? proxies) => this.proxies = proxies;

    /// <param name="proxies">
    /// Null for text without surrogates and private-use characters; else what these characters, which then are proxies, mean.
    /// </param>
    public static string Emit(PatternNode root, IReadOnlyDictionary<SetNode, ProxyMembers>? proxies)
    {
        var emitter = new PatternEmitter(proxies);
        emitter.Write(root);
        return emitter.output.ToString();
    }

    public static List<SetNode> SetsOf(PatternNode root)
    {
        var sets = new List<SetNode>();
        Collect(root);
        return sets;

        void Collect(PatternNode node)
        {
            switch (node)
            {
                case SetNode set:
                    sets.Add(set);
                    break;
                case WordBoundaryNode boundary:
                    sets.Add(boundary.Word);
                    break;
                case GroupNode group:
                    Collect(group.Inner);
                    break;
                case RepeatNode repeat:
                    Collect(repeat.Inner);
                    break;
                case SequenceNode sequence:
                    foreach (PatternNode part in sequence.Parts)
                    {
                        Collect(part);
                    }

                    break;
                case AlternationNode alternation:
                    foreach (PatternNode choice in alternation.Choices)
                    {
                        Collect(choice);
                    }

                    break;
            }
        }
    }

    private void Write(PatternNode node)
    {
        switch (node)
        {
            case SetNode set:
                WriteSet(set);
                break;
            case AnchorNode anchor:
                output.Append(anchor.DotNet);
                break;
            case GroupNode group:
                output.Append(group.Opening);
                Write(group.Inner);
                output.Append(')');
                break;
            case WordBoundaryNode boundary:
                WriteBoundary(boundary);
                break;
            case RepeatNode repeat:
                WriteRepeat(repeat);
                break;
            case SequenceNode sequence:
                foreach (PatternNode part in sequence.Parts)
                {
                    Write(part);
                }

                break;
            case AlternationNode alternation:
                for (int i = 0; i < alternation.Choices.Count; i++)
                {
                    output.Append(i == 0 ? "" : "|");
                    Write(alternation.Choices[i]);
                }

                break;
        }
    }

    private void WriteRepeat(RepeatNode repeat)
    {
        output.Append(repeat.Kind == RepeatKind.Possessive ? "(?>" : "");
        bool single = repeat.Inner is SetNode;
        output.Append(single ? "" : "(?:");
        Write(repeat.Inner);
        output.Append(single ? "" : ")");
        output.Append((repeat.Minimum, repeat.Maximum) switch
        {
            (0, -1) => "*",
            (1, -1) => "+",
            (0, 1) => "?",
            (int minimum, -1) => string.Create(CultureInfo.InvariantCulture, $"{{{minimum},}}"),
            (int minimum, int maximum) when minimum == maximum => string.Create(CultureInfo.InvariantCulture, $"{{{minimum}}}"),
            (int minimum, int maximum) => string.Create(CultureInfo.InvariantCulture, $"{{{minimum},{maximum}}}"),
        });
        output.Append(repeat.Kind switch { RepeatKind.Lazy => "?", RepeatKind.Possessive => ")", _ => "" });
    }

    private void WriteBoundary(WordBoundaryNode boundary)
    {
        output.Append("(?:(?<=");
        WriteSet(boundary.Word);
        output.Append(boundary.Negated ? ")(?=" : ")(?!");
        WriteSet(boundary.Word);
        output.Append(")|(?<!");
        WriteSet(boundary.Word);
        output.Append(boundary.Negated ? ")(?!" : ")(?=");
        WriteSet(boundary.Word);
        output.Append("))");
    }

    private void WriteSet(SetNode set)
    {
        ProxyMembers? members = proxies?[set];
        if (!set.Negated && set.Intersected.Count == 0 && set.Items is [RangeItem { First: var only } item] && only == item.Last && IsPlain(only))
        {
            WriteChar((char)only);
            return;
        }

        bool named = set.Intersected.Count == 0 && set.Items.All(candidate => candidate is RangeItem || IsSafeCategory(candidate));
        if (!named)
        {
            WriteRanges("[", set.Resolve(), members?.Inside);
            return;
        }

        output.Append(set.Negated ? "[^" : "[");
        int start = output.Length;
        foreach (SetItem part in set.Items)
        {
            if (part is CategoryItem category)
            {
                output.Append(category.Negated ? @"\P{" : @"\p{").Append(category.Name).Append('}');
            }
            else if (part is WhiteSpaceItem space)
            {
                output.Append(space.Negated ? @"\S" : @"\s");
            }
            else if (part is RangeItem range)
            {
                WriteRange(range.First, range.Last);
            }
        }

        foreach (char proxy in (set.Negated ? members?.Outside : members?.Inside) ?? [])
        {
            WriteChar(proxy);
        }

        Close(start, set.Negated);
    }

    private void WriteRanges(string opening, CodePointSet set, char[]? inside)
    {
        output.Append(opening);
        int start = output.Length;
        foreach ((int first, int last) in set.Ranges)
        {
            WriteRange(first, last);
        }

        foreach (char proxy in inside ?? [])
        {
            WriteChar(proxy);
        }

        Close(start, negated: false);
    }

    // .NET has no empty class: nothing at all is written as a look-ahead that always fails, everything as any character.
    private void Close(int start, bool negated)
    {
        if (output.Length > start)
        {
            output.Append(']');
            return;
        }

        output.Length = start - (negated ? 2 : 1);
        output.Append(negated ? @"[\s\S]" : "(?!)");
    }

    // A category that holds surrogates or private use would also hold proxies, whatever these mean.
    private bool IsSafeCategory(SetItem item) =>
        item switch
        {
            CategoryItem category => proxies is null || (!category.Negated && category.Name[0] != 'C'),
            WhiteSpaceItem space => proxies is null || !space.Negated,
            _ => false,
        };

    private static bool IsPlain(int codePoint) => codePoint is < 0xD800 or (>= 0xF900 and <= char.MaxValue);

    private void WriteRange(int first, int last)
    {
        WritePart(first, Math.Min(last, 0xD7FF));
        WritePart(Math.Max(first, 0xF900), Math.Min(last, char.MaxValue));

        void WritePart(int from, int to)
        {
            if (from > to)
            {
                return;
            }

            WriteChar((char)from);
            if (from < to)
            {
                output.Append('-');
                WriteChar((char)to);
            }
        }
    }

    private void WriteChar(char c) => output.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
}
