namespace AwqQuantize.Engine.Tokenization;

/// <summary>The three ways in which a tokenizer can be unusable.</summary>
internal static class TokenizerErrors
{
    private const string TokenIdsRemedy = "Give calibration data as token ids made with the model's own tokenizer, or add a tokenizer.json to the model folder.";

    /// <summary>Well formed, but a part of it is not run here; nothing is ever approximated.</summary>
    public static AwqException NotSupported(string part, Exception? inner = null) =>
        new("TokenizerPartNotSupported", AwqErrorKind.NotSupported, $"The tokenizer uses a part that is not supported: {part}.", TokenIdsRemedy, inner);

    /// <summary>Malformed, or more than any real tokenizer needs.</summary>
    public static AwqException Invalid(string what, Exception? inner = null) =>
        new("TokenizerInvalid", AwqErrorKind.InvalidData, $"The tokenizer is not valid: {what}.", "Download the tokenizer files again, or give calibration data as token ids.", inner);

    public static AwqException Missing(string folder) =>
        new("TokenizerMissing", AwqErrorKind.NotFound,
            $"No tokenizer was found in '{folder}': there is no tokenizer.json, tokenizer.model, vocab.json with merges.txt, tekken.json or *.tiktoken file.", TokenIdsRemedy);
}
