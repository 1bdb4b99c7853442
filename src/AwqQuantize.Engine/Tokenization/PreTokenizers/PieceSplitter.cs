namespace AwqQuantize.Engine.Tokenization.PreTokenizers;

/// <summary>A pre-tokenizer step: splits a piece, perhaps changing its text, and hands on the parts; immutable.</summary>
internal abstract class PieceSplitter
{
    /// <param name="piece">Not empty; its text is the real one, not pending bytes.</param>
    /// <param name="next">Takes the parts in order; empty parts are dropped there.</param>
    public abstract void Split(in Piece piece, IPieceSink next);
}
