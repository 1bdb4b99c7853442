using System.Text;
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
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        JsonElement vocabulary = JsonParts.ReadFile(vocabularyPath);
        if (vocabulary.ValueKind != JsonValueKind.Object)
        {
            throw TokenizerErrors.Invalid($"'{vocabularyPath}' is not an object of tokens and ids");
        }

        foreach (JsonProperty token in vocabulary.EnumerateObject())
        {
            ids[token.Name] = token.Value.ValueKind == JsonValueKind.Number && token.Value.TryGetInt32(out int id) && id >= 0 ? id
                : throw TokenizerErrors.Invalid($"'{vocabularyPath}' holds a token whose value is not an id");
        }

        // Only the line feed ends a line: merges hold other characters that some take for line ends.
        string[] lines = Encoding.UTF8.GetString(File.ReadAllBytes(mergesPath)).Split('\n');
        var merges = new List<MergePair>(lines.Length);
        foreach (string line in lines.Select(line => line.TrimEnd('\r')).Where(line => line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal)))
        {
            merges.Add(ModelReader.SplitMerge(line, merges.Count));
        }

        bool qwen = config.TokenizerClass == "Qwen2Tokenizer";
        if (!qwen && config.TokenizerClass is not ("" or "GPT2Tokenizer" or "CodeGenTokenizer" or "PreTrainedTokenizer"))
        {
            throw TokenizerErrors.NotSupported($"vocab.json and merges.txt of a {config.TokenizerClass} without tokenizer.json");
        }

        return new TokenizerDefinition
        {
            Model = new BpeModel(new Vocabulary(ids), merges, new BpeOptions()),
            AddedTokens = [.. config.DeclaredTokens()],
            Normalizer = qwen ? new UnicodeFormNormalizer(compatibility: false, compose: true) : null,
            PreTokenizer = qwen ? ByteLevelParts.SplitBy(ByteLevelParts.Pattern(@"\p{N}")) : [new ByteLevelSplitter(config.AddPrefixSpace ?? false, useRegex: true)],
            Decoder = new ByteLevelDecoder(),
        };
    }
}
