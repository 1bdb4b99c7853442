using System.Text;

namespace AwqQuantize.Engine.Tokenization.Unicode;

/// <summary>
/// Unicode normalization forms (UAX #15) with the tables of Hugging Face's tokenizers, which are Unicode 9's; the
/// runtime's follow ICU, throw on U+FFFE and do nothing in invariant mode.
/// </summary>
internal static class UnicodeNormalizer
{
    private const int HangulFirst = 0xAC00;
    private const int LeadFirst = 0x1100;
    private const int VowelFirst = 0x1161;
    private const int TailFirst = 0x11A7;
    private const int LeadCount = 19;
    private const int VowelCount = 21;
    private const int TailCount = 28;
    private const int HangulCount = LeadCount * VowelCount * TailCount;

    private static readonly Lazy<Dictionary<(int, int), int>> Compositions = new(ReadCompositions);

    public static string Normalize(string text, bool compatibility, bool compose)
    {
        // Below these, nothing decomposes (NFD, NFKD: Latin-1's first half) or is not composed yet (NFC: combining marks).
        char firstChanged = compose && !compatibility ? '\u0300' : '\u00A0';
        if (!text.AsSpan().ContainsAnyInRange(firstChanged, char.MaxValue))
        {
            return text;
        }

        var points = new List<int>(text.Length);
        Dictionary<int, int[]> table = compatibility ? UnicodeTables.Current.Compatibility : UnicodeTables.Current.Canonical;
        foreach (Rune rune in text.EnumerateRunes())
        {
            Decompose(rune.Value, table, points);
        }

        Reorder(points);
        if (compose)
        {
            Compose(points);
        }

        var result = new StringBuilder(points.Count);
        Span<char> chars = stackalloc char[2];
        foreach (int point in points)
        {
            result.Append(chars[..new Rune(point).EncodeToUtf16(chars)]);
        }

        return result.ToString();
    }

    private static void Decompose(int point, Dictionary<int, int[]> table, List<int> output)
    {
        if ((uint)(point - HangulFirst) < HangulCount)
        {
            int index = point - HangulFirst;
            output.Add(LeadFirst + index / (VowelCount * TailCount));
            output.Add(VowelFirst + index / TailCount % VowelCount);
            if (index % TailCount != 0)
            {
                output.Add(TailFirst + index % TailCount);
            }
        }
        else if (table.TryGetValue(point, out int[]? parts))
        {
            output.AddRange(parts);
        }
        else
        {
            output.Add(point);
        }
    }

    private static int ClassOf(int point) =>
        point < 0x300 ? 0 : UnicodeTables.Current.CombiningClass.GetValueOrDefault(point);

    // Canonical ordering: a stable sort of each run of marks by their class.
    private static void Reorder(List<int> points)
    {
        for (int i = 0; i < points.Count; i++)
        {
            if (ClassOf(points[i]) == 0)
            {
                continue;
            }

            int first = i;
            while (i < points.Count && ClassOf(points[i]) != 0)
            {
                i++;
            }

            if (i - first > 1)
            {
                int[] sorted = [.. points.Skip(first).Take(i - first).OrderBy(ClassOf)];
                for (int k = 0; k < sorted.Length; k++)
                {
                    points[first + k] = sorted[k];
                }
            }
        }
    }

    private static void Compose(List<int> points)
    {
        int starter = -1;
        int lastClass = 0;
        int count = 0;
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i];
            int cls = ClassOf(point);
            bool blocked = count > starter + 1 && (lastClass == 0 || lastClass >= cls);
            if (starter >= 0 && !blocked && Composed(points[starter], point) is { } composed)
            {
                points[starter] = composed;
                continue;
            }

            if (cls == 0)
            {
                starter = count;
            }

            lastClass = cls;
            points[count++] = point;
        }

        points.RemoveRange(count, points.Count - count);
    }

    private static int? Composed(int first, int second)
    {
        uint vowel = (uint)(second - VowelFirst);
        uint lead = (uint)(first - LeadFirst);
        if (lead < LeadCount && vowel < VowelCount)
        {
            return HangulFirst + ((int)lead * VowelCount + (int)vowel) * TailCount;
        }

        uint syllable = (uint)(first - HangulFirst);
        uint tail = (uint)(second - TailFirst);
        if (syllable < HangulCount && syllable % TailCount == 0 && tail is > 0 and < TailCount)
        {
            return first + (int)tail;
        }

        return Compositions.Value.TryGetValue((first, second), out int composed) ? composed : null;
    }

    // A primary composite's last part is the last character of its full decomposition; its first part is what the rest
    // composes to.
    private static Dictionary<(int, int), int> ReadCompositions()
    {
        UnicodeTables tables = UnicodeTables.Current;
        var whole = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach ((int point, int[] parts) in tables.Canonical.Where(pair => !tables.NeverComposed.Contains(pair.Key)))
        {
            whole.Add(Key(parts), point);
        }

        var pairs = new Dictionary<(int, int), int>();
        foreach ((string parts, int point) in whole)
        {
            int[] all = tables.Canonical[point];
            int first = all.Length == 2 ? all[0] : whole[Key(all.AsSpan(0, all.Length - 1))];
            pairs.Add((first, all[^1]), point);
        }

        return pairs;
    }

    private static string Key(ReadOnlySpan<int> points)
    {
        var key = new StringBuilder();
        foreach (int point in points)
        {
            key.Append(char.ConvertFromUtf32(point));
        }

        return key.ToString();
    }
}
