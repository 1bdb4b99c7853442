using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json;
using AwqQuantize.Engine.Tokenization.Decoders;
using AwqQuantize.Engine.Tokenization.Models;
using AwqQuantize.Engine.Tokenization.Normalizers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// Reads files of byte strings and ranks: tiktoken's (Qwen 1, GLM-4, Kimi), and Mistral's tekken.json. A pair merges if
/// it joins to a token, the lowest rank first, and a piece that is a token is left whole.
/// </summary>
internal static class TiktokenReader
{
    private const string KimiPattern =
        @"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        + @"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        + @"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Whether the first line is base64 and a number.</summary>
    public static bool IsTiktoken(ReadOnlySpan<byte> file)
    {
        int end = file.IndexOf((byte)'\n');
        ReadOnlySpan<byte> line = file[..(end < 0 ? Math.Min(file.Length, 1024) : end)].TrimEnd((byte)'\r');
        int space = line.IndexOf((byte)' ');
        return space > 0 && Base64.IsValid(line[..space]) && line[(space + 1)..] is { Length: > 0 } rank && rank.IndexOfAnyExceptInRange((byte)'0', (byte)'9') < 0;
    }

    public static TokenizerDefinition Read(ReadOnlySpan<byte> file, string path, TransformersConfig config)
    {
        var ranks = new TokenTable(file.Length / 16);
        foreach (Range range in file.Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = file[range].TrimEnd((byte)'\r');
            if (line.Length == 0)
            {
                continue;
            }

            int space = line.IndexOf((byte)' ');
            if (space <= 0 || !int.TryParse(line[(space + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int rank))
            {
                throw TokenizerErrors.Invalid($"'{path}' has a line that is not a token and its rank");
            }

            ranks.Add(Token(Encoding.ASCII.GetString(line[..space]), path), rank);
        }

        // The pattern is in the model's Python code, never in its files.
        string name = Path.GetFileName(path);
        bool qwen = config.TokenizerClass == "QWenTokenizer" || name == "qwen.tiktoken";
        string pattern = config.TokenizerClass switch
        {
            _ when qwen => ByteLevelParts.Pattern(@"\p{N}"),
            "ChatGLM4Tokenizer" => ByteLevelParts.Pattern(@"\p{N}{1,3}"),
            "TikTokenTokenizer" => KimiPattern,
            string other => throw TokenizerErrors.NotSupported($"the tiktoken file '{name}' of tokenizer class '{other}', whose pattern is not known"),
        };
        return Make(ranks, pattern) with
        {
            AddedTokens = qwen ? QwenTokens(ranks.Count) : [.. config.DeclaredTokens()],
            Normalizer = qwen ? new UnicodeFormNormalizer(compatibility: false, compose: true) : null,
            PrefixTokens = config.TokenizerClass == "ChatGLM4Tokenizer" ? ["[gMASK]", "<sop>"] : null,
        };
    }

    /// <summary>Mistral's own format: special tokens have the first ids, ranks count from behind them.</summary>
    public static TokenizerDefinition ReadTekken(string path)
    {
        JsonElement file = JsonParts.ReadFile(path);
        JsonElement config = file.ValueKind == JsonValueKind.Object && file.TryGetProperty("config", out JsonElement given) ? given : throw TokenizerErrors.Invalid($"'{path}' has no 'config'");
        int specialCount = JsonParts.Count(config, "default_num_special_tokens", path);
        int size = JsonParts.Count(config, "default_vocab_size", path) - specialCount;
        var ids = new TokenTable();
        foreach (JsonElement token in JsonParts.List(file, "vocab", path))
        {
            int rank = JsonParts.Count(token, "rank", path);
            if (rank < size)
            {
                ids.Add(Token(JsonParts.Text(token, "token_bytes", path), path), rank + specialCount);
            }
        }

        var special = new List<AddedToken>();
        if (file.TryGetProperty("special_tokens", out JsonElement tokens) && tokens.ValueKind == JsonValueKind.Array)
        {
            special.AddRange(tokens.EnumerateArray().Select(token =>
                AddedToken.SpecialToken(JsonParts.Text(token, "token_str", path), JsonParts.Count(token, "rank", path))));
        }
        else
        {
            special.AddRange(((string[])["<unk>", "<s>", "</s>"]).Select((token, id) => AddedToken.SpecialToken(token, id)));
        }

        return Make(ids, JsonParts.Text(config, "pattern", path)) with { AddedTokens = special, BosToken = "<s>", EosToken = "</s>", PrefixTokens = ["<s>"] };
    }

    private static List<AddedToken> QwenTokens(int first)
    {
        string[] names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", .. Enumerable.Range(0, 205).Select(i => $"<|extra_{i}|>")];
        return [.. names.Select((name, i) => AddedToken.SpecialToken(name, first + i))];
    }

    private static string Token(string base64, string path)
    {
        try
        {
            byte[] bytes = Convert.FromBase64String(base64);
            return string.Create(bytes.Length, bytes, static (chars, source) =>
            {
                for (int i = 0; i < chars.Length; i++)
                {
                    chars[i] = ByteAlphabet.ToChar(source[i]);
                }
            });
        }
        catch (FormatException error)
        {
            throw TokenizerErrors.Invalid($"'{path}' holds a token that is not base64", error);
        }
    }

    private static TokenizerDefinition Make(TokenTable ranks, string pattern) => new()
    {
        Model = new BpeModel(new Vocabulary(ranks), MergesOf(ranks), new BpeOptions { IgnoreMerges = true }),
        PreTokenizer = ByteLevelParts.SplitBy(pattern),
        Decoder = new ByteLevelDecoder(),
    };

    private static List<MergePair> MergesOf(TokenTable ranks)
    {
        var merges = new List<MergePair>(ranks.Count);
        var splits = new List<MergePair>();
        foreach (int index in Enumerable.Range(0, ranks.Count).OrderBy(ranks.IdAt))
        {
            splits.Clear();
            ranks.AddSplits(index, splits);
            merges.AddRange(splits.OrderBy(pair => (ranks.IdAt(pair.Left), ranks.IdAt(pair.Right))));
        }

        return merges;
    }
}
