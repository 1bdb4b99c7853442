namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Turns a piece of text into token ids; immutable.</summary>
internal abstract class TokenModel(Vocabulary vocabulary)
{
    protected Vocabulary Vocabulary { get; } = vocabulary;

    /// <summary>How many tokens the model has; the first new added token gets this id.</summary>
    public virtual int Count => Vocabulary.Count;

    /// <summary>The greatest id, -1 without any token.</summary>
    public int MaximumId => Vocabulary.MaximumId;

    public int? IdOf(string token) => Vocabulary.TryGetId(token, out int id) ? id : null;

    public string? TokenOf(int id) => Vocabulary.TokenOf(id);

    /// <summary>Appends the ids of the piece to those of the workspace.</summary>
    public abstract void Encode(in Piece piece, EncodingWorkspace workspace);
}
