using System.IO.Compression;

namespace AwqQuantize.Engine.Tokenization.Unicode;

/// <summary>
/// What Hugging Face's tokenizers knows of Unicode, read out of it by <c>tests/tokenizers/make-unicode-tables.mjs</c>:
/// its parts carry tables of different Unicode versions. Nothing here depends on the runtime's globalization settings.
/// </summary>
internal sealed class UnicodeTables
{
    private const string Resource = "AwqQuantize.Engine.Tokenization.Unicode.unicode.bin";

    private static readonly Lazy<UnicodeTables> Instance = new(() => new UnicodeTables());

    private readonly Dictionary<string, CodePointSet> sets = new(StringComparer.OrdinalIgnoreCase);

    private UnicodeTables()
    {
        using Stream packed = typeof(UnicodeTables).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidOperationException($"The assembly lacks its resource {Resource}.");
        using var unpacked = new DeflateStream(packed, CompressionMode.Decompress);
        using var reader = new BinaryReader(unpacked);
        int setCount = reader.Read7BitEncodedInt();
        for (int i = 0; i < setCount; i++)
        {
            string name = reader.ReadString();
            sets.Add(name, ReadRanges(reader));
        }

        ScriptRuns = new (int, int)[reader.Read7BitEncodedInt()];
        int first = 0;
        for (int i = 0; i < ScriptRuns.Length; i++)
        {
            first += reader.Read7BitEncodedInt();
            ScriptRuns[i] = (first, reader.Read7BitEncodedInt());
        }

        LowerCase = ReadMapping(reader);
        CombiningClass = ReadMapping(reader).ToDictionary(pair => pair.Key, pair => (byte)pair.Value[0]);
        Canonical = ReadMapping(reader);
        Compatibility = ReadMapping(reader);
        NeverComposed = ReadRanges(reader);
    }

    /// <summary>Word characters of the Rust regex crate: <c>single_word</c> and the Whitespace pre-tokenizer.</summary>
    public static CodePointSet Word => Set("rust:word");

    public static CodePointSet Punctuation => Set("rust:punctuation");

    /// <summary>Rust's <c>char::is_numeric</c>.</summary>
    public static CodePointSet Numeric => Set("rust:numeric");

    public static CodePointSet CombiningMark => Set("rust:mark");

    /// <summary>What BertNormalizer's <c>clean_text</c> takes away.</summary>
    public static CodePointSet BertRemoved => Set("bert:removed");

    public static CodePointSet BertChinese => Set("bert:chinese");

    public static CodePointSet BertNonSpacing => Set("bert:nonspacing");

    public static UnicodeTables Current => Instance.Value;

    /// <summary>First code point of each run of one script, and its number; 0 is a script that never splits.</summary>
    public (int First, int Script)[] ScriptRuns { get; }

    public Dictionary<int, int[]> LowerCase { get; }

    public Dictionary<int, byte> CombiningClass { get; }

    /// <summary>Full canonical decompositions (NFD), Hangul left out.</summary>
    public Dictionary<int, int[]> Canonical { get; }

    /// <summary>Full compatibility decompositions (NFKD), Hangul left out.</summary>
    public Dictionary<int, int[]> Compatibility { get; }

    /// <summary>Characters that NFC does not contain.</summary>
    public CodePointSet NeverComposed { get; }

    /// <summary>A set by the name under which the resource holds it, e.g. <c>onig:\p{Han}</c>; case does not count.</summary>
    public static CodePointSet? Find(string name) => Instance.Value.sets.GetValueOrDefault(name);

    private static CodePointSet Set(string name) => Find(name) ?? throw new InvalidOperationException($"The Unicode tables lack '{name}'.");

    private static CodePointSet ReadRanges(BinaryReader reader)
    {
        var ranges = new (int, int)[reader.Read7BitEncodedInt()];
        int at = 0;
        for (int i = 0; i < ranges.Length; i++)
        {
            int first = at + reader.Read7BitEncodedInt();
            at = first + reader.Read7BitEncodedInt();
            ranges[i] = (first, at);
        }

        return CodePointSet.Of(ranges);
    }

    private static Dictionary<int, int[]> ReadMapping(BinaryReader reader)
    {
        int count = reader.Read7BitEncodedInt();
        var mapping = new Dictionary<int, int[]>(count);
        int at = 0;
        for (int i = 0; i < count; i++)
        {
            at += reader.Read7BitEncodedInt();
            var target = new int[reader.Read7BitEncodedInt()];
            for (int k = 0; k < target.Length; k++)
            {
                target[k] = reader.Read7BitEncodedInt();
            }

            mapping.Add(at, target);
        }

        return mapping;
    }
}
