using System.Text.Json;
using AwqQuantize.Engine.Tokenization.Normalizers;
using AwqQuantize.Engine.Tokenization.Patterns;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Reads the <c>normalizer</c> of tokenizer.json.</summary>
internal static class NormalizerReader
{
    private const string Where = "the normalizer";

    public static TextNormalizer? Read(JsonElement? part) => part is { } given ? Read(given) : null;

    private static TextNormalizer Read(JsonElement part) => JsonParts.TypeOf(part, Where) switch
    {
        "Sequence" => new SequenceNormalizer([.. JsonParts.List(part, "normalizers", Where).Select(Read)]),
        "NFC" => new UnicodeFormNormalizer(compatibility: false, compose: true),
        "NFD" => new UnicodeFormNormalizer(compatibility: false, compose: false),
        "NFKC" => new UnicodeFormNormalizer(compatibility: true, compose: true),
        "NFKD" => new UnicodeFormNormalizer(compatibility: true, compose: false),
        "Lowercase" => CharacterMaps.Lowercase,
        "StripAccents" => CharacterMaps.StripAccents,
        "Nmt" => CharacterMaps.Nmt,
        "ByteLevel" => CharacterMaps.ByteLevel,
        "Strip" => new StripNormalizer(JsonParts.Flag(part, "strip_left", true), JsonParts.Flag(part, "strip_right", true)),
        "Prepend" => new PrependNormalizer(JsonParts.Text(part, "prepend", Where)),
        "Append" => new AppendNormalizer(JsonParts.Text(part, "append", Where)),
        "Replace" => ReadReplace(part, Where),
        "BertNormalizer" => ReadBert(part),
        "Precompiled" => new PrecompiledNormalizer(ReadCharsmap(part)),
        string type => throw TokenizerErrors.NotSupported($"the normalizer '{type}'"),
    };

    /// <summary>The Replace of normalizers and of decoders.</summary>
    public static ReplaceNormalizer ReadReplace(JsonElement part, string where) =>
        new(ReadPattern(part, where), JsonParts.Text(part, "content", where));

    /// <summary>A pattern of either kind: a string as it stands, or a regular expression.</summary>
    public static TextPattern ReadPattern(JsonElement part, string where)
    {
        if (!part.TryGetProperty("pattern", out JsonElement pattern))
        {
            throw TokenizerErrors.Invalid($"{where} lacks its 'pattern'");
        }

        if (JsonParts.OptionalText(pattern, "String") is { } literal)
        {
            return new LiteralPattern(literal);
        }

        return JsonParts.OptionalText(pattern, "Regex") is { } expression
            ? new OnigPattern(expression)
            : throw TokenizerErrors.Invalid($"{where} has a pattern that is neither 'String' nor 'Regex'");
    }

    private static TextNormalizer ReadBert(JsonElement part)
    {
        bool lowercase = JsonParts.Flag(part, "lowercase", true);
        return CharacterMaps.Bert(
            JsonParts.Flag(part, "clean_text", true),
            JsonParts.Flag(part, "handle_chinese_chars", true),
            JsonParts.OptionalFlag(part, "strip_accents") ?? lowercase,
            lowercase);
    }

    private static byte[] ReadCharsmap(JsonElement part)
    {
        if (part.TryGetProperty("precompiled_charsmap", out JsonElement map) && map.ValueKind == JsonValueKind.String && map.TryGetBytesFromBase64(out byte[]? bytes))
        {
            return bytes;
        }

        throw TokenizerErrors.Invalid("the normalizer's 'precompiled_charsmap' is not base64");
    }
}
