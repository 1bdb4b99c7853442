using System.Text.Json;
using AwqQuantize.Engine.Tokenization.PreTokenizers;

namespace AwqQuantize.Engine.Tokenization.Decoders;

/// <summary>Reads the <c>decoder</c> of tokenizer.json.</summary>
internal static class DecoderReader
{
    private const string Where = "the decoder";

    public static TokenDecoder Read(JsonElement part) => JsonParts.TypeOf(part, Where) switch
    {
        "Sequence" => new SequenceDecoder([.. JsonParts.List(part, "decoders", Where).Select(Read)]),
        "ByteLevel" => new ByteLevelDecoder(),
        "ByteFallback" => new ByteFallbackDecoder(),
        "Fuse" => new FuseDecoder(),
        "Replace" => new ReplaceDecoder(NormalizerReader.ReadReplace(part, Where)),
        "Strip" => new StripDecoder(JsonParts.Text(part, "content", Where), JsonParts.Count(part, "start", Where), JsonParts.Count(part, "stop", Where)),
        "Metaspace" => ReadMetaspace(part),
        "BPEDecoder" => new BpeDecoder(JsonParts.OptionalText(part, "suffix") ?? "</w>"),
        "WordPiece" => new WordPieceDecoder(JsonParts.OptionalText(part, "prefix") ?? "##", JsonParts.Flag(part, "cleanup", true)),
        "CTC" => new CtcDecoder(JsonParts.OptionalText(part, "pad_token") ?? "<pad>", JsonParts.OptionalText(part, "word_delimiter_token") ?? "|",
            JsonParts.Flag(part, "cleanup", true)),
        string type => throw TokenizerErrors.NotSupported($"the decoder '{type}'"),
    };

    private static MetaspaceDecoder ReadMetaspace(JsonElement part)
    {
        string mark = JsonParts.Text(part, "replacement", Where);
        return mark.Length == 1
            ? new MetaspaceDecoder(mark[0], PreTokenizerReader.ReadScheme(part) != PrependScheme.Never)
            : throw TokenizerErrors.NotSupported($"the Metaspace replacement '{mark}'");
    }
}
