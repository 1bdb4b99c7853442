using AwqQuantize.Engine.Tokenization.Patterns;

namespace AwqQuantize.Engine.Tokenization.PreTokenizers;

/// <summary>Splits at the matches of a pattern.</summary>
/// <param name="invert">Whether what lies between the matches counts as the matches.</param>
internal sealed class PatternSplitter(TextPattern pattern, SplitBehavior behavior, bool invert) : PieceSplitter
{
    public override void Split(in Piece piece, IPieceSink next)
    {
        var collector = new Collector(piece, behavior, next);
        int covered = 0;
        MatchCursor cursor = pattern.Cursor(piece.Span);
        while (pattern.NextMatch(ref cursor, out int start, out int end))
        {
            if (start > covered)
            {
                collector.Add(covered, start, invert);
            }

            collector.Add(start, end, !invert);
            covered = end;
        }

        if (covered < piece.Length)
        {
            collector.Add(covered, piece.Length, invert);
        }

        collector.Finish();
    }

    /// <summary>Takes the stretches in order, matches and what lies between, and decides which belong together.</summary>
    private ref struct Collector(Piece whole, SplitBehavior behavior, IPieceSink next)
    {
        private int heldStart = -1;
        private int heldEnd;
        private bool previousMatch;

        public void Add(int start, int end, bool isMatch)
        {
            switch (behavior)
            {
                case SplitBehavior.Removed when isMatch:
                    return;
                case SplitBehavior.Removed or SplitBehavior.Isolated:
                    Emit(start, end);
                    return;
                case SplitBehavior.MergedWithNext:
                    // A held match waits for what follows; another match does not take it in.
                    if (isMatch || heldStart < 0)
                    {
                        Finish();
                        if (isMatch)
                        {
                            Hold(start, end);
                        }
                        else
                        {
                            Emit(start, end);
                        }

                        return;
                    }

                    Emit(heldStart, end);
                    heldStart = -1;
                    return;
                case SplitBehavior.MergedWithPrevious:
                    Extend(start, end, isMatch && !previousMatch);
                    break;
                case SplitBehavior.Contiguous:
                    Extend(start, end, isMatch == previousMatch);
                    break;
            }

            previousMatch = isMatch;
        }

        public void Finish()
        {
            if (heldStart >= 0)
            {
                Emit(heldStart, heldEnd);
                heldStart = -1;
            }
        }

        private void Extend(int start, int end, bool joins)
        {
            if (joins && heldStart >= 0)
            {
                heldEnd = end;
                return;
            }

            Finish();
            Hold(start, end);
        }

        private void Hold(int start, int end) => (heldStart, heldEnd) = (start, end);

        private readonly void Emit(int start, int end) => next.Add(whole.Slice(start, end - start));
    }
}
