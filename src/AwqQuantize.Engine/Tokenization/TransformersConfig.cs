using System.Globalization;
using System.Text.Json;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say, and how transformers changes a
/// tokenizer by it (PreTrainedTokenizerFast and LlamaTokenizerFast's update_post_processor).
/// </summary>
internal sealed class TransformersConfig
{
    // Classes that put BOS before every text unless told not to.
    private static readonly string[] BosByDefault = ["LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer"];

    private static readonly string[] SpecialTokenNames = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

    private readonly JsonElement config;
    private readonly JsonElement map;
    private readonly JsonElement addedTokens;

    private TransformersConfig(JsonElement config, JsonElement map, JsonElement addedTokens) =>
        (this.config, this.map, this.addedTokens) = (config, map, addedTokens);

    /// <summary>The tokenizer's class without <c>Fast</c>; empty where none is named.</summary>
    public string TokenizerClass => Unsuffixed(JsonParts.OptionalText(config, "tokenizer_class") ?? "");

    public bool? AddBosToken => JsonParts.OptionalFlag(config, "add_bos_token");

    public bool? AddEosToken => JsonParts.OptionalFlag(config, "add_eos_token");

    public bool? AddPrefixSpace => JsonParts.OptionalFlag(config, "add_prefix_space");

    /// <summary>Llama's old way with spaces after special tokens; the default.</summary>
    public bool Legacy => JsonParts.OptionalFlag(config, "legacy") ?? true;

    public static TransformersConfig Read(string folder) => new(
        ReadOptional(Path.Combine(folder, "tokenizer_config.json")),
        ReadOptional(Path.Combine(folder, "special_tokens_map.json")),
        ReadOptional(Path.Combine(folder, "added_tokens.json")));

    /// <summary>A special token's text by its name in the config, e.g. <c>bos_token</c>.</summary>
    public string? SpecialToken(string name) => SpecialTokenEntry(name)?.Content;

    /// <summary>The tokenizer as transformers makes it of the file.</summary>
    public TokenizerDefinition Apply(TokenizerDefinition definition)
    {
        string? bos = SpecialToken("bos_token") ?? definition.BosToken;
        string? eos = SpecialToken("eos_token") ?? definition.EosToken;
        var result = definition with { AddedTokens = WithConfigTokens(definition.AddedTokens), BosToken = bos, EosToken = eos };
        bool bosByDefault = BosByDefault.Contains(TokenizerClass);
        if (AddBosToken is null && AddEosToken is null && !bosByDefault)
        {
            return result;
        }

        bool addBos = (AddBosToken ?? bosByDefault) && bos is not null;
        bool addEos = (AddEosToken ?? false) && eos is not null;
        return result with { PrefixTokens = addBos ? [bos!] : [], SuffixTokens = addEos ? [eos!] : [] };
    }

    /// <summary>The file's added tokens, and those that only the config declares, or declares with other flags.</summary>
    private List<AddedToken> WithConfigTokens(IReadOnlyList<AddedToken> tokens)
    {
        var all = new List<AddedToken>(tokens);
        var known = tokens.Select(token => token with { Id = null }).ToHashSet();
        all.AddRange(DeclaredTokens().Select(token => token with { Id = null }).Where(token => !known.Contains(token)));
        var contents = all.Select(token => token.Content).ToHashSet(StringComparer.Ordinal);
        all.AddRange(SpecialTokens().Where(token => contents.Add(token.Content)));
        return all;
    }

    /// <summary>The tokens of added_tokens_decoder, by id, then those of added_tokens.json.</summary>
    public IEnumerable<AddedToken> DeclaredTokens()
    {
        var declared = new List<AddedToken>();
        if (config.ValueKind == JsonValueKind.Object && config.TryGetProperty("added_tokens_decoder", out JsonElement tokens) && tokens.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty token in tokens.EnumerateObject())
            {
                int id = int.TryParse(token.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
                    : throw TokenizerErrors.Invalid("tokenizer_config.json's added_tokens_decoder has a key that is not an id");
                declared.Add(TokenizerJsonReader.ReadAddedToken(token.Value, "tokenizer_config.json's added_tokens_decoder") with { Id = id });
            }

            return declared.OrderBy(token => token.Id);
        }

        if (addedTokens.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty token in addedTokens.EnumerateObject())
            {
                declared.Add(new AddedToken(token.Name, false, false, false, true, false)
                {
                    Id = token.Value.ValueKind == JsonValueKind.Number && token.Value.TryGetInt32(out int id) && id >= 0 ? id
                        : throw TokenizerErrors.Invalid("added_tokens.json holds something that is not an id"),
                });
            }
        }

        return declared.OrderBy(token => token.Id);
    }

    /// <summary>The named special tokens and the additional ones.</summary>
    public IEnumerable<AddedToken> SpecialTokens()
    {
        foreach (string name in SpecialTokenNames)
        {
            if (SpecialTokenEntry(name) is { } token)
            {
                yield return token;
            }
        }

        foreach (string name in (string[])["additional_special_tokens", "extra_special_tokens"])
        {
            if (Find(name) is { ValueKind: JsonValueKind.Array } list)
            {
                foreach (JsonElement item in list.EnumerateArray())
                {
                    if (AsToken(item) is { } token)
                    {
                        yield return token;
                    }
                }
            }
        }
    }

    private AddedToken? SpecialTokenEntry(string name) => Find(name) is { } value ? AsToken(value) : null;

    private static AddedToken? AsToken(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => AddedToken.SpecialToken(JsonParts.Unescaped(value)),
        JsonValueKind.Object => TokenizerJsonReader.ReadAddedToken(value, "a special token of tokenizer_config.json") with { Special = true },
        _ => null,
    };

    private JsonElement? Find(string name)
    {
        foreach (JsonElement source in (JsonElement[])[config, map])
        {
            if (source.ValueKind == JsonValueKind.Object && source.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null)
            {
                return value;
            }
        }

        return null;
    }

    private static string Unsuffixed(string name) => name.EndsWith("Fast", StringComparison.Ordinal) ? name[..^4] : name;

    private static JsonElement ReadOptional(string path) => File.Exists(path) ? JsonParts.ReadFile(path) : default;
}
