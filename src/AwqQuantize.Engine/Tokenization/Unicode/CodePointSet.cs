using System.Globalization;

namespace AwqQuantize.Engine.Tokenization.Unicode;

/// <summary>A set of Unicode code points, as sorted ranges that do not touch.</summary>
internal sealed class CodePointSet
{
    public const int Maximum = 0x10FFFF;

    public static readonly CodePointSet Empty = new([], []);
    public static readonly CodePointSet All = new([0], [Maximum]);

    private static readonly Lazy<CodePointSet[]> Categories = new(ReadCategories);

    private readonly int[] first;
    private readonly int[] last;

    private CodePointSet(int[] first, int[] last) => (this.first, this.last) = (first, last);

    public int RangeCount => first.Length;

    public IEnumerable<(int First, int Last)> Ranges => first.Zip(last);

    public static CodePointSet Of(IEnumerable<(int First, int Last)> ranges)
    {
        var starts = new List<int>();
        var ends = new List<int>();
        foreach ((int from, int to) in ranges.OrderBy(range => range.First))
        {
            if (ends.Count > 0 && from <= ends[^1] + 1)
            {
                ends[^1] = Math.Max(ends[^1], to);
            }
            else
            {
                starts.Add(from);
                ends.Add(to);
            }
        }

        return new CodePointSet([.. starts], [.. ends]);
    }

    public static CodePointSet Range(int first, int last) => new([first], [last]);

    /// <summary>The code points of one general category, from the runtime (Unicode 16 in .NET 10).</summary>
    public static CodePointSet Category(UnicodeCategory category) => Categories.Value[(int)category];

    public bool Contains(int codePoint)
    {
        int index = Array.BinarySearch(first, codePoint);
        index = index >= 0 ? index : ~index - 1;
        return index >= 0 && codePoint <= last[index];
    }

    public CodePointSet Union(CodePointSet other) => Of(Ranges.Concat(other.Ranges));

    public CodePointSet Complement()
    {
        var gaps = new List<(int, int)>();
        int from = 0;
        for (int i = 0; i < first.Length; i++)
        {
            if (first[i] > from)
            {
                gaps.Add((from, first[i] - 1));
            }

            from = last[i] + 1;
        }

        if (from <= Maximum)
        {
            gaps.Add((from, Maximum));
        }

        return Of(gaps);
    }

    public CodePointSet Intersect(CodePointSet other) => Complement().Union(other.Complement()).Complement();

    private static CodePointSet[] ReadCategories()
    {
        var ranges = new List<(int, int)>[30];
        for (int i = 0; i < ranges.Length; i++)
        {
            ranges[i] = [];
        }

        int start = 0;
        UnicodeCategory current = CharUnicodeInfo.GetUnicodeCategory(0);
        for (int codePoint = 1; codePoint <= Maximum + 1; codePoint++)
        {
            UnicodeCategory category = codePoint > Maximum ? (UnicodeCategory)(-1) : CharUnicodeInfo.GetUnicodeCategory(codePoint);
            if (category != current)
            {
                ranges[(int)current].Add((start, codePoint - 1));
                (start, current) = (codePoint, category);
            }
        }

        return [.. ranges.Select(Of)];
    }
}
