namespace AwqQuantize.Engine.Tokenization;

/// <summary>Finds and reads the tokenizer of a model folder.</summary>
internal static class TokenizerFolder
{
    // No published tokenizer comes near; a file beyond is no tokenizer, and would not fit an array.
    private const long LargestFile = 1L << 30;

    public static TokenizerDefinition Read(string folder, bool asTransformers)
    {
        if (!Directory.Exists(folder))
        {
            throw TokenizerErrors.Missing(folder);
        }

        try
        {
            if (Existing(folder, "tokenizer.json") is { } json)
            {
                if (!asTransformers)
                {
                    return TokenizerJsonReader.Read(json);
                }

                // Both are long where a model has thousands of added tokens.
                Task<TransformersConfig> reading = Task.Run(() => TransformersConfig.Read(folder));
                TokenizerDefinition definition = TokenizerJsonReader.Read(json);
                return reading.GetAwaiter().GetResult().Apply(definition);
            }

            // The other formats hold less than a tokenizer: without the config they mean nothing.
            TransformersConfig config = TransformersConfig.Read(folder);
            return config.Apply(ReadOther(folder, config));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw TokenizerErrors.Invalid($"a file in '{folder}' cannot be read ({error.Message})", error);
        }
    }

    private static TokenizerDefinition ReadOther(string folder, TransformersConfig config)
    {
        if (Existing(folder, "tekken.json") is { } tekken)
        {
            return TiktokenReader.ReadTekken(tekken);
        }

        if (Existing(folder, "tokenizer.model") is { } model)
        {
            byte[] bytes = File.ReadAllBytes(model);
            return TiktokenReader.IsTiktoken(bytes) ? TiktokenReader.Read(bytes, model, config) : SentencePieceReader.Read(bytes, config);
        }

        if (Existing(folder, "vocab.json") is { } vocabulary && Existing(folder, "merges.txt") is { } merges)
        {
            return Gpt2FilesReader.Read(vocabulary, merges, config);
        }

        string? ranks = Existing(folder, "tiktoken.model") ?? Directory.GetFiles(folder, "*.tiktoken").Order(StringComparer.Ordinal).FirstOrDefault();
        return ranks is not null ? TiktokenReader.Read(File.ReadAllBytes(ranks), ranks, config) : throw TokenizerErrors.Missing(folder);
    }

    private static string? Existing(string folder, string name)
    {
        var file = new FileInfo(Path.Combine(folder, name));
        return !file.Exists ? null
            : file.Length <= LargestFile ? file.FullName
            : throw TokenizerErrors.Invalid($"'{file.FullName}' is larger than {LargestFile} bytes");
    }
}
