using System.Text.Json;
using AwqQuantize.Engine.Tokenization.Decoders;
using AwqQuantize.Engine.Tokenization.Models;
using AwqQuantize.Engine.Tokenization.Normalizers;
using AwqQuantize.Engine.Tokenization.PreTokenizers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>Reads vocab.json and merges.txt; what stands around them follows from the tokenizer's class.</summary>
internal static class Gpt2FilesReader
{
    public static TokenizerDefinition Read(string vocabularyPath, string mergesPath, TransformersConfig config)
    {
        TokenTable tokens = JsonParts.ReadFile(vocabularyPath, json =>
        {
            var reader = new Utf8JsonReader(json);
            reader.Read();
            return reader.TokenType == JsonTokenType.StartObject ? new VocabularyReader().ReadTokens(ref reader, json.Length / 16)
                : throw TokenizerErrors.Invalid($"'{vocabularyPath}' is not an object of tokens and ids");
        });
        List<MergePair> merges = MappedFile.Read(mergesPath, file => ReadMerges(file, tokens));
        bool qwen = config.TokenizerClass == "Qwen2Tokenizer";
        if (!qwen && config.TokenizerClass is not ("" or "GPT2Tokenizer" or "CodeGenTokenizer" or "PreTrainedTokenizer"))
        {
            throw TokenizerErrors.NotSupported($"vocab.json and merges.txt of a {config.TokenizerClass} without tokenizer.json");
        }

        return new TokenizerDefinition
        {
            Model = new BpeModel(new Vocabulary(tokens), merges, new BpeOptions()),
            AddedTokens = [.. config.DeclaredTokens()],
            Normalizer = qwen ? new UnicodeFormNormalizer(compatibility: false, compose: true) : null,
            PreTokenizer = qwen ? ByteLevelParts.SplitBy(ByteLevelParts.Pattern(@"\p{N}")) : [new ByteLevelSplitter(config.AddPrefixSpace ?? false, useRegex: true)],
            Decoder = new ByteLevelDecoder(),
        };
    }

    // Only the line feed ends a line: merges hold other characters that some take for line ends.
    private static List<MergePair> ReadMerges(ReadOnlySpan<byte> file, TokenTable tokens)
    {
        var merges = new List<MergePair>(tokens.Count);
        foreach (Range range in file.Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = file[range].TrimEnd((byte)'\r');
            if (line.Length > 0)
            {
                VocabularyReader.AddLine(line, tokens, merges);
            }
        }

        return merges;
    }
}
