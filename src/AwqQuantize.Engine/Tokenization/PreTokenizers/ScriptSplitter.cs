using System.Text;
using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.PreTokenizers;

/// <summary>Splits where the script changes, as SentencePiece does when it trains (Han and kana are one script).</summary>
internal sealed class ScriptSplitter : PieceSplitter
{
    private const int AnyScript = 0;

    private static readonly Lazy<int[]> RunStarts = new(() => [.. UnicodeTables.Current.ScriptRuns.Select(run => run.First)]);

    public override void Split(in Piece piece, IPieceSink next)
    {
        int start = -1;
        int offset = 0;
        int last = -1;
        foreach (Rune rune in piece.Span.EnumerateRunes())
        {
            int script = ScriptOf(rune.Value);
            if (script != AnyScript && script != last)
            {
                // What precedes the first character that has a script is lost, as in the original.
                if (start >= 0)
                {
                    next.Add(piece.Slice(start, offset - start));
                }

                (start, last) = (offset, script);
            }

            offset += rune.Utf16SequenceLength;
        }

        if (start >= 0)
        {
            next.Add(piece.Slice(start, offset - start));
        }
    }

    private static int ScriptOf(int codePoint)
    {
        int index = Array.BinarySearch(RunStarts.Value, codePoint);
        return UnicodeTables.Current.ScriptRuns[index >= 0 ? index : ~index - 1].Script;
    }
}
