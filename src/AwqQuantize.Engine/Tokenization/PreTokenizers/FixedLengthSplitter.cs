using System.Text;

namespace AwqQuantize.Engine.Tokenization.PreTokenizers;

/// <summary>Splits into pieces of so many characters.</summary>
internal sealed class FixedLengthSplitter(int length) : PieceSplitter
{
    public override void Split(in Piece piece, IPieceSink next)
    {
        int start = 0;
        int end = 0;
        int count = 0;
        foreach (Rune rune in piece.Span.EnumerateRunes())
        {
            end += rune.Utf16SequenceLength;
            if (++count == length)
            {
                next.Add(piece.Slice(start, end - start));
                (start, count) = (end, 0);
            }
        }

        next.Add(piece.Slice(start, end - start));
    }
}
