using System.Text.Json;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Reads the <c>model</c> of tokenizer.json; the long lists in it are streamed, not made into a tree.</summary>
/// <param name="fileLength">Bytes of the whole file, from which the size of the lists is guessed.</param>
internal sealed class ModelReader(int fileLength)
{
    private readonly Dictionary<string, JsonElement> options = new(StringComparer.Ordinal);
    private readonly VocabularyReader lists = new();
    private TokenTable? tokens;
    private List<double>? scores;
    private List<MergePair>? merges;

    public TokenModel Read(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw TokenizerErrors.Invalid("'model' is not an object");
        }

        // Merges name tokens: those that stand before the vocabulary are passed over and read at last.
        Utf8JsonReader early = default;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            switch (name)
            {
                case "vocab" when reader.TokenType == JsonTokenType.StartObject:
                    tokens = lists.ReadTokens(ref reader, fileLength / 128);
                    break;
                case "vocab" when reader.TokenType == JsonTokenType.StartArray:
                    tokens = lists.ReadScoredTokens(ref reader, scores = []);
                    break;
                case "merges" when reader.TokenType == JsonTokenType.StartArray && tokens is null:
                    early = reader;
                    reader.Skip();
                    break;
                case "merges" when reader.TokenType == JsonTokenType.StartArray:
                    merges = lists.ReadMerges(ref reader, tokens!);
                    break;
                default:
                    options[name] = JsonElement.ParseValue(ref reader);
                    break;
            }
        }

        if (early.TokenType == JsonTokenType.StartArray && tokens is not null)
        {
            merges ??= lists.ReadMerges(ref early, tokens);
        }

        return Make();
    }

    private TokenModel Make()
    {
        // Files from before the type was written: only Unigram scores its pieces, only BPE merges.
        string type = Text("type") ?? (scores is not null ? "Unigram" : merges is not null ? "BPE"
            : options.ContainsKey("continuing_subword_prefix") ? "WordPiece" : "WordLevel");
        return type switch
        {
            "BPE" => MakeBpe(),
            "Unigram" => MakeUnigram(),
            "WordPiece" => new WordPieceModel(Plain(), Text("unk_token") ?? "[UNK]", Text("continuing_subword_prefix") ?? "##",
                Number("max_input_chars_per_word") ?? 100),
            "WordLevel" => new WordLevelModel(Plain(), Text("unk_token") ?? "<unk>"),
            _ => throw TokenizerErrors.NotSupported($"the model '{type}'"),
        };
    }

    private BpeModel MakeBpe()
    {
        if (options.TryGetValue("dropout", out JsonElement dropout) && dropout.ValueKind == JsonValueKind.Number && dropout.GetDouble() > 0)
        {
            throw TokenizerErrors.NotSupported("BPE dropout, which gives random ids");
        }

        return new BpeModel(Plain(), merges ?? throw TokenizerErrors.Invalid("the BPE model has no 'merges'"), new BpeOptions
        {
            UnknownToken = Text("unk_token"),
            ContinuingSubwordPrefix = Text("continuing_subword_prefix"),
            EndOfWordSuffix = Text("end_of_word_suffix"),
            FuseUnknown = Flag("fuse_unk"),
            ByteFallback = Flag("byte_fallback"),
            IgnoreMerges = Flag("ignore_merges"),
        });
    }

    private UnigramModel MakeUnigram()
    {
        if (scores is null)
        {
            throw TokenizerErrors.Invalid("the Unigram model has no scored 'vocab'");
        }

        int? unknown = Number("unk_id");
        return unknown >= scores.Count
            ? throw TokenizerErrors.Invalid("the Unigram model's 'unk_id' is outside the vocabulary")
            : new UnigramModel(Plain(), [.. scores], unknown, Flag("byte_fallback"));
    }

    private Vocabulary Plain() => new(tokens ?? throw TokenizerErrors.Invalid("the model has no 'vocab'"));

    private string? Text(string name) =>
        options.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? JsonParts.Unescaped(value) : null;

    private bool Flag(string name) => options.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    private int? Number(string name) =>
        options.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number
            ? value.TryGetInt32(out int number) && number >= 0 ? number : throw TokenizerErrors.Invalid($"the model's '{name}' is out of range")
            : null;
}
