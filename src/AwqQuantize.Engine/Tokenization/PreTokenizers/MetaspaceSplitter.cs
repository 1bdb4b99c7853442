using AwqQuantize.Engine.Tokenization.Patterns;

namespace AwqQuantize.Engine.Tokenization.PreTokenizers;

/// <summary>When the Metaspace pre-tokenizer puts its mark before a piece.</summary>
internal enum PrependScheme
{
    Always,
    First,
    Never,
}

/// <summary>SentencePiece's way with spaces: each becomes a mark, and pieces begin at marks.</summary>
internal sealed class MetaspaceSplitter(char mark, PrependScheme scheme, bool split) : PieceSplitter
{
    private readonly PatternSplitter splitter = new(new LiteralPattern(mark.ToString()), SplitBehavior.MergedWithNext, invert: false);

    public PrependScheme Scheme => scheme;

    public override void Split(in Piece piece, IPieceSink next)
    {
        char first = piece.Span[0];
        bool prepend = first != mark && first != ' '
            && (scheme == PrependScheme.Always || (scheme == PrependScheme.First && piece.AtOriginalStart));
        string text = piece.Span.ToString().Replace(' ', mark);
        var marked = new Piece(prepend ? mark + text : text, piece.AtOriginalStart);
        if (split)
        {
            splitter.Split(marked, next);
        }
        else
        {
            next.Add(marked);
        }
    }
}
