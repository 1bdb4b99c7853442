using System.Text.Json;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Reads the <c>model</c> of tokenizer.json; the long lists in it are streamed, not made into a tree.</summary>
/// <param name="fileLength">Bytes of the whole file, from which the size of the lists is guessed.</param>
internal sealed class ModelReader(int fileLength)
{
    private readonly Dictionary<string, JsonElement> options = new(StringComparer.Ordinal);
    private Dictionary<string, int>? vocabulary;
    private List<double>? scores;
    private List<MergePair>? merges;
    private char[] text = new char[256];

    public TokenModel Read(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw TokenizerErrors.Invalid("'model' is not an object");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            switch (name)
            {
                case "vocab" when reader.TokenType == JsonTokenType.StartObject:
                    vocabulary = ReadVocabulary(ref reader);
                    break;
                case "vocab" when reader.TokenType == JsonTokenType.StartArray:
                    ReadScoredVocabulary(ref reader);
                    break;
                case "merges" when reader.TokenType == JsonTokenType.StartArray:
                    merges = ReadMerges(ref reader);
                    break;
                default:
                    options[name] = JsonElement.ParseValue(ref reader);
                    break;
            }
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

    private Vocabulary Plain() => new(vocabulary ?? throw TokenizerErrors.Invalid("the model has no 'vocab'"));

    private string? Text(string name) =>
        options.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? JsonParts.Unescaped(value) : null;

    private bool Flag(string name) => options.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    private int? Number(string name) =>
        options.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number
            ? value.TryGetInt32(out int number) && number >= 0 ? number : throw TokenizerErrors.Invalid($"the model's '{name}' is out of range")
            : null;

    private Dictionary<string, int> ReadVocabulary(ref Utf8JsonReader reader)
    {
        var ids = new Dictionary<string, int>(fileLength / 128, StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string token = reader.GetString()!;
            reader.Read();
            ids[token] = reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out int id) && id >= 0 ? id
                : throw TokenizerErrors.Invalid($"the id of the token '{token}' is not a number from 0 to 2147483647");
        }

        return ids;
    }

    private void ReadScoredVocabulary(ref Utf8JsonReader reader)
    {
        vocabulary = new Dictionary<string, int>(1 << 15, StringComparer.Ordinal);
        scores = [];
        while (reader.Read() && reader.TokenType == JsonTokenType.StartArray)
        {
            reader.Read();
            string token = reader.GetString() ?? throw TokenizerErrors.Invalid("a piece of the vocabulary is null");
            reader.Read();
            vocabulary[token] = scores.Count;
            scores.Add(reader.GetDouble());
            reader.Read();
            if (reader.TokenType != JsonTokenType.EndArray)
            {
                throw TokenizerErrors.Invalid("a piece of the vocabulary is not a pair of text and score");
            }
        }
    }

    private List<MergePair> ReadMerges(ref Utf8JsonReader reader)
    {
        var pairs = new List<MergePair>(vocabulary?.Count ?? 0);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType == JsonTokenType.StartArray)
            {
                reader.Read();
                (string? left, int leftId) = ReadToken(ref reader);
                reader.Read();
                (string? right, int rightId) = ReadToken(ref reader);
                reader.Read();
                pairs.Add(left is not null && right is not null && reader.TokenType == JsonTokenType.EndArray ? new MergePair(left, right, leftId, rightId)
                    : throw TokenizerErrors.Invalid($"merge {pairs.Count} is not a pair of strings"));
            }
            else if (reader.TokenType == JsonTokenType.String)
            {
                ReadOnlySpan<char> line = ReadText(ref reader);
                if (!line.StartsWith("#version"))
                {
                    int space = SpaceOf(line, pairs.Count);
                    (string left, int leftId) = Known(line[..space]);
                    (string right, int rightId) = Known(line[(space + 1)..]);
                    pairs.Add(new MergePair(left, right, leftId, rightId));
                }
            }
            else
            {
                throw TokenizerErrors.Invalid($"merge {pairs.Count} is neither a string nor a pair");
            }
        }

        return pairs;
    }

    private (string? Token, int Id) ReadToken(ref Utf8JsonReader reader) =>
        reader.TokenType == JsonTokenType.String ? Known(ReadText(ref reader)) : (null, -1);

    private ReadOnlySpan<char> ReadText(ref Utf8JsonReader reader)
    {
        if (text.Length < reader.ValueSpan.Length)
        {
            text = new char[reader.ValueSpan.Length * 2];
        }

        return text.AsSpan(0, reader.CopyString(text));
    }

    // Merges name a million tokens, nearly all in the vocabulary, which comes before them: the same strings serve.
    private (string Token, int Id) Known(ReadOnlySpan<char> token) =>
        vocabulary is not null && vocabulary.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(token, out string? known, out int id) ? (known, id) : (token.ToString(), -1);

    /// <summary>A merge as a line: two tokens with one space between them.</summary>
    public static MergePair SplitMerge(string line, int rank)
    {
        int space = SpaceOf(line, rank);
        return new MergePair(line[..space], line[(space + 1)..]);
    }

    private static int SpaceOf(ReadOnlySpan<char> line, int rank)
    {
        int space = line.IndexOf(' ');
        return space >= 0 && line.LastIndexOf(' ') == space ? space
            : throw TokenizerErrors.Invalid($"merge {rank} is not two tokens with a space between them");
    }
}
