using System.Text;
using System.Text.RegularExpressions;
using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>
/// A regular expression of Oniguruma in Ruby syntax, which works on code points, run by .NET's, which works on UTF-16
/// code units. In a text with surrogates or private-use characters, each such code point is replaced by one private-use
/// character that stands for all code points that the pattern cannot tell from it.
/// </summary>
internal sealed class OnigPattern : TextPattern
{
    private const char FirstProxy = '\uE000';

    // Real patterns take microseconds; a match that takes this long is catastrophic backtracking.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly string source;
    private readonly PatternNode root;
    private readonly Regex plain;
    private readonly Lazy<(Regex Regex, int[] FoldFirst, char[] FoldProxy)> folded;

    /// <exception cref="AwqException">The pattern is malformed or uses what is not translated.</exception>
    public OnigPattern(string source)
    {
        this.source = source;
        root = new OnigParser(source).Parse();
        plain = Compile(PatternEmitter.Emit(root, proxies: null));
        folded = new(MakeFolded);
    }

    public override bool NextMatch(ref MatchCursor cursor, out int start, out int end)
    {
        if (!cursor.Started)
        {
            cursor.Started = true;
            if (cursor.Text.ContainsAnyInRange('\uD800', '\uF8FF'))
            {
                cursor.Matches = folded.Value.Regex.EnumerateMatches(Fold(cursor.Text, out cursor.Offsets));
            }
            else
            {
                cursor.Matches = plain.EnumerateMatches(cursor.Text);
            }
        }

        try
        {
            while (cursor.Matches.MoveNext())
            {
                ValueMatch match = cursor.Matches.Current;
                (start, end) = (match.Index, match.Index + match.Length);
                if (cursor.Offsets is { } offsets)
                {
                    (start, end) = (offsets[start], offsets[end]);
                }

                // Oniguruma's iterator, as Rust's, never reports an empty match where the last match ended.
                bool repeated = start == end && start == cursor.Position && start > 0;
                cursor.Position = end;
                if (!repeated)
                {
                    return true;
                }
            }
        }
        catch (RegexMatchTimeoutException error)
        {
            throw TokenizerErrors.Invalid($"its pattern '{Shown}' takes too long on this text", error);
        }

        start = end = cursor.Text.Length;
        return false;
    }

    private string Shown => source.Length <= 80 ? source : source[..80] + "…";

    private Regex Compile(string pattern)
    {
        try
        {
            return new Regex(pattern, RegexOptions.Compiled | RegexOptions.CultureInvariant, Patience);
        }
        catch (ArgumentException error)
        {
            throw TokenizerErrors.NotSupported($"the regular expression '{Shown}'", error);
        }
    }

    // Cuts the code points beyond the plain text's into the finest ranges that the pattern's sets tell apart; ranges in
    // the same sets share a proxy.
    private (Regex Regex, int[] FoldFirst, char[] FoldProxy) MakeFolded()
    {
        List<SetNode> sets = PatternEmitter.SetsOf(root);
        CodePointSet[] resolved = [.. sets.Select(set => set.Resolve())];
        var cuts = new SortedSet<int> { 0xE000, 0xF900, 0x10000 };
        foreach ((int first, int last) in resolved.SelectMany(set => set.Ranges))
        {
            cuts.Add(first);
            cuts.Add(last + 1);
        }

        var proxyOfSignature = new Dictionary<string, char>(StringComparer.Ordinal);
        var foldFirst = new List<int>();
        var foldProxy = new List<char>();
        foreach (int cut in cuts.Where(cut => cut is (>= 0xE000 and < 0xF900) or (>= 0x10000 and <= CodePointSet.Maximum)))
        {
            string signature = string.Create(resolved.Length, (resolved, cut), static (span, state) =>
            {
                for (int i = 0; i < span.Length; i++)
                {
                    span[i] = state.resolved[i].Contains(state.cut) ? '1' : '0';
                }
            });
            if (!proxyOfSignature.TryGetValue(signature, out char proxy))
            {
                proxy = (char)(FirstProxy + proxyOfSignature.Count);
                if (proxy > '\uF8FF')
                {
                    throw TokenizerErrors.NotSupported($"the regular expression '{Shown}' (it tells too many kinds of characters apart)");
                }

                proxyOfSignature.Add(signature, proxy);
            }

            foldFirst.Add(cut);
            foldProxy.Add(proxy);
        }

        var proxies = new Dictionary<SetNode, ProxyMembers>(ReferenceEqualityComparer.Instance);
        for (int i = 0; i < sets.Count; i++)
        {
            int index = i;
            proxies[sets[i]] = new ProxyMembers(
                [.. proxyOfSignature.Where(pair => pair.Key[index] == '1').Select(pair => pair.Value)],
                [.. proxyOfSignature.Where(pair => pair.Key[index] == '0').Select(pair => pair.Value)]);
        }

        return (Compile(PatternEmitter.Emit(root, proxies)), [.. foldFirst], [.. foldProxy]);
    }

    private char[] Fold(ReadOnlySpan<char> text, out int[] offsets)
    {
        (_, int[] foldFirst, char[] foldProxy) = folded.Value;
        var chars = new char[text.Length];
        var starts = new int[text.Length + 1];
        int count = 0;
        for (int i = 0; i < text.Length;)
        {
            Rune.DecodeFromUtf16(text[i..], out Rune rune, out int length);
            starts[count] = i;
            if (rune.Value is (>= 0xE000 and < 0xF900) or > 0xFFFF)
            {
                int index = Array.BinarySearch(foldFirst, rune.Value);
                chars[count++] = foldProxy[index >= 0 ? index : ~index - 1];
            }
            else
            {
                chars[count++] = text[i];
            }

            i += length;
        }

        starts[count] = text.Length;
        offsets = starts;
        return count == chars.Length ? chars : chars[..count];
    }
}
