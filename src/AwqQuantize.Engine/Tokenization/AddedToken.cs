namespace AwqQuantize.Engine.Tokenization;

/// <summary>A token on top of the model's vocabulary, with the flags of tokenizer.json's <c>added_tokens</c>.</summary>
/// <param name="Content">The text that is looked for.</param>
/// <param name="SingleWord">Only where no word character stands next to it.</param>
/// <param name="LeftStrip">Takes the white space on its left with it.</param>
/// <param name="RightStrip">Takes the white space on its right with it.</param>
/// <param name="Normalized">Looked for in normalized text, in its own normalized form.</param>
/// <param name="Special">Left out when text is decoded without special tokens.</param>
internal sealed record AddedToken(string Content, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized, bool Special)
{
    /// <summary>The id, where the file's own format binds it; in tokenizer.json the model or the order decides.</summary>
    public int? Id { get; init; }

    public static AddedToken SpecialToken(string content, int? id = null) => new(content, false, false, false, false, true) { Id = id };
}
