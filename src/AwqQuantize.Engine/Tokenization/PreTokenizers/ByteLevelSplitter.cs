using AwqQuantize.Engine.Tokenization.Patterns;

namespace AwqQuantize.Engine.Tokenization.PreTokenizers;

/// <summary>GPT-2's pre-tokenizer: splits with its pattern and writes the parts' bytes in its alphabet.</summary>
/// <param name="addPrefixSpace">Whether a text that does not begin with a space gets one.</param>
/// <param name="useRegex">Whether to split at all.</param>
internal sealed class ByteLevelSplitter(bool addPrefixSpace, bool useRegex) : PieceSplitter
{
    private static readonly Lazy<PatternSplitter> Gpt2 = new(() => new PatternSplitter(
        new OnigPattern(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"), SplitBehavior.Isolated, invert: false));

    public bool AddsPrefixSpace => addPrefixSpace;

    public override void Split(in Piece piece, IPieceSink next)
    {
        Piece prefixed = addPrefixSpace && piece.Span[0] != ' '
            ? new Piece(string.Concat(" ", piece.Span), piece.AtOriginalStart)
            : piece;
        var pending = new PendingSink(next);
        if (useRegex)
        {
            Gpt2.Value.Split(prefixed, pending);
        }
        else
        {
            pending.Add(prefixed);
        }
    }

    private sealed class PendingSink(IPieceSink next) : IPieceSink
    {
        public void Add(in Piece piece) => next.Add(piece with { BytesPending = true });
    }
}
