namespace AwqQuantize.Engine.Tokenization;

/// <summary>Finds and reads the tokenizer of a model folder.</summary>
internal static class TokenizerFolder
{
    public static TokenizerDefinition Read(string folder, bool asTransformers)
    {
        string json = Path.Combine(folder, "tokenizer.json");
        if (!File.Exists(json))
        {
            throw TokenizerErrors.Missing(folder);
        }

        return TokenizerJsonReader.Read(json);
    }
}
