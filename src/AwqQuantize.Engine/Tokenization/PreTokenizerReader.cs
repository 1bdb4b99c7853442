using System.Text.Json;
using AwqQuantize.Engine.Tokenization.Patterns;
using AwqQuantize.Engine.Tokenization.PreTokenizers;
using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Reads the <c>pre_tokenizer</c> of tokenizer.json.</summary>
internal static class PreTokenizerReader
{
    private const string Where = "the pre-tokenizer";

    /// <param name="normalizer">The file's normalizer, which decides where the original text begins.</param>
    public static IReadOnlyList<PieceSplitter> Read(JsonElement? part, JsonElement? normalizer)
    {
        if (part is not { } given)
        {
            return [];
        }

        PieceSplitter[] steps = [.. ReadSteps(given)];
        RefuseUnclearStart(steps, normalizer);
        return steps;
    }

    private static IEnumerable<PieceSplitter> ReadSteps(JsonElement part)
    {
        string type = JsonParts.TypeOf(part, Where);
        return type switch
        {
            "Sequence" => JsonParts.List(part, "pretokenizers", Where).SelectMany(ReadSteps),
            "ByteLevel" => [new ByteLevelSplitter(JsonParts.Flag(part, "add_prefix_space", true), JsonParts.Flag(part, "use_regex", true))],
            "Metaspace" => [ReadMetaspace(part)],
            "Split" => [new PatternSplitter(NormalizerReader.ReadPattern(part, Where), ReadBehavior(part), JsonParts.Flag(part, "invert", false))],
            "Digits" => [BySet(UnicodeTables.Numeric.Contains, JsonParts.Flag(part, "individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous)],
            "Punctuation" => [BySet(UnicodeTables.Punctuation.Contains, part.TryGetProperty("behavior", out _) ? ReadBehavior(part) : SplitBehavior.Isolated)],
            "WhitespaceSplit" => [BySet(IsWhiteSpace, SplitBehavior.Removed)],
            "Whitespace" => [BySet(IsWhiteSpace, SplitBehavior.Removed), BySet(UnicodeTables.Word.Contains, SplitBehavior.Contiguous)],
            "BertPreTokenizer" => [BySet(IsWhiteSpace, SplitBehavior.Removed), BySet(UnicodeTables.Punctuation.Contains, SplitBehavior.Isolated)],
            "CharDelimiterSplit" => [new PatternSplitter(new LiteralPattern(ReadCharacter(part, "delimiter")), SplitBehavior.Removed, invert: false)],
            "UnicodeScripts" => [new ScriptSplitter()],
            "FixedLength" => [new FixedLengthSplitter(ReadLength(part))],
            _ => throw TokenizerErrors.NotSupported($"the pre-tokenizer '{type}'"),
        };
    }

    private static bool IsWhiteSpace(int point) => point <= char.MaxValue && char.IsWhiteSpace((char)point);

    private static PatternSplitter BySet(Func<int, bool> contains, SplitBehavior behavior) =>
        new(new SetPattern(contains), behavior, invert: false);

    private static int ReadLength(JsonElement part)
    {
        int length = JsonParts.Count(part, "length", Where, otherwise: 5);
        return length > 0 ? length : throw TokenizerErrors.Invalid($"{Where} splits into pieces of no length");
    }

    private static string ReadCharacter(JsonElement part, string name)
    {
        string text = JsonParts.Text(part, name, Where);
        return text.Length == 1 || (text.Length == 2 && char.IsSurrogatePair(text, 0)) ? text
            : throw TokenizerErrors.Invalid($"{Where}'s '{name}' is not one character");
    }

    private static SplitBehavior ReadBehavior(JsonElement part)
    {
        string behavior = JsonParts.Text(part, "behavior", Where);
        return behavior switch
        {
            "Removed" => SplitBehavior.Removed,
            "Isolated" => SplitBehavior.Isolated,
            "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
            "MergedWithNext" => SplitBehavior.MergedWithNext,
            "Contiguous" => SplitBehavior.Contiguous,
            _ => throw TokenizerErrors.NotSupported($"the split behavior '{behavior}'"),
        };
    }

    private static MetaspaceSplitter ReadMetaspace(JsonElement part)
    {
        string mark = ReadCharacter(part, "replacement");
        if (mark.Length != 1)
        {
            throw TokenizerErrors.NotSupported($"the Metaspace replacement '{mark}'");
        }

        PrependScheme scheme = ReadScheme(part);
        return new MetaspaceSplitter(mark[0], scheme, JsonParts.Flag(part, "split", true));
    }

    /// <summary>The scheme of a Metaspace pre-tokenizer or decoder; older files say <c>add_prefix_space</c>.</summary>
    public static PrependScheme ReadScheme(JsonElement part)
    {
        PrependScheme scheme = JsonParts.OptionalText(part, "prepend_scheme") switch
        {
            null or "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            string other => throw TokenizerErrors.NotSupported($"the Metaspace prepend scheme '{other}'"),
        };
        if (JsonParts.OptionalFlag(part, "add_prefix_space") != false)
        {
            return scheme;
        }

        return scheme == PrependScheme.Never || !part.TryGetProperty("prepend_scheme", out _)
            ? PrependScheme.Never
            : throw TokenizerErrors.Invalid("a Metaspace's 'add_prefix_space' contradicts its 'prepend_scheme'");
    }

    // Two characters would stand for the start of the text where something was put before it: no tokenizer does that,
    // and which pieces the original then marks depends on its alignments.
    private static void RefuseUnclearStart(PieceSplitter[] steps, JsonElement? normalizer)
    {
        int first = Array.FindIndex(steps, step => step is MetaspaceSplitter { Scheme: PrependScheme.First });
        if (first >= 0 && (steps[..first].Any(step => step is MetaspaceSplitter or ByteLevelSplitter { AddsPrefixSpace: true }) || Prepends(normalizer)))
        {
            throw TokenizerErrors.NotSupported("a Metaspace pre-tokenizer with the prepend scheme 'first' after a step that puts something before the text");
        }
    }

    private static bool Prepends(JsonElement? normalizer) =>
        normalizer is { } part
        && (JsonParts.OptionalText(part, "type") == "Prepend"
            || (part.TryGetProperty("normalizers", out JsonElement steps) && steps.EnumerateArray().Any(step => Prepends(step))));
}
