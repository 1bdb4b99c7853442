using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>The normalizers that look at one character at a time.</summary>
internal static class CharacterMaps
{
    private static readonly int[] Space = [' '];
    private static readonly int[] Nothing = [];

    public static TextNormalizer Lowercase { get; } = new CharacterNormalizer(Lower);

    public static TextNormalizer StripAccents { get; } =
        new CharacterNormalizer(point => point >= 0x300 && UnicodeTables.CombiningMark.Contains(point) ? Nothing : null);

    /// <summary>SentencePiece's <c>nmt</c> rules, as Hugging Face has them.</summary>
    public static TextNormalizer Nmt { get; } = new CharacterNormalizer(point => point switch
    {
        (>= 0x01 and <= 0x08) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or 0x8F or 0x9F => Nothing,
        0x09 or 0x0A or 0x0C or 0x0D or 0x1680 or (>= 0x200B and <= 0x200F) or 0x2028 or 0x2029 or 0x2581 or 0xFEFF or 0xFFFD => Space,
        _ => null,
    });

    public static TextNormalizer ByteLevel { get; } = new ByteAlphabetNormalizer();

    /// <summary>BERT's basic cleaning, in its order.</summary>
    public static TextNormalizer Bert(bool cleanText, bool handleChinese, bool stripAccents, bool lowercase)
    {
        var steps = new List<TextNormalizer>();
        if (cleanText)
        {
            steps.Add(new CharacterNormalizer(Clean));
        }

        if (handleChinese)
        {
            steps.Add(new CharacterNormalizer(point => UnicodeTables.BertChinese.Contains(point) ? [' ', point, ' '] : null));
        }

        if (stripAccents)
        {
            steps.Add(new UnicodeFormNormalizer(compatibility: false, compose: false));
            steps.Add(new CharacterNormalizer(point => point >= 0x300 && UnicodeTables.BertNonSpacing.Contains(point) ? Nothing : null));
        }

        if (lowercase)
        {
            steps.Add(Lowercase);
        }

        return new SequenceNormalizer(steps);
    }

    private static int[]? Lower(int point)
    {
        if (point < 0x80)
        {
            return point is >= 'A' and <= 'Z' ? [point | 0x20] : null;
        }

        return UnicodeTables.Current.LowerCase.GetValueOrDefault(point);
    }

    private static int[]? Clean(int point)
    {
        if (point is >= ' ' and < 0x7F)
        {
            return null;
        }

        return UnicodeTables.BertRemoved.Contains(point) ? Nothing
            : point <= char.MaxValue && char.IsWhiteSpace((char)point) ? Space : null;
    }

    private sealed class ByteAlphabetNormalizer : TextNormalizer
    {
        public override string Normalize(string original) => ByteAlphabet.Map(original);
    }
}
