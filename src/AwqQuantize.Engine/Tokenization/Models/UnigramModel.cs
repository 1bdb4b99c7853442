using System.Text;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>
/// Unigram language model (Kudo, arXiv:1804.10959): the segmentation with the greatest sum of log probabilities, found by
/// Viterbi's algorithm; of equal ones the first found, as in Hugging Face's tokenizers. Unknown stretches are fused.
/// </summary>
internal sealed class UnigramModel : TokenModel
{
    private const double UnknownPenalty = 10;
    private const int CachedLength = 128;

    private readonly double[] scores;
    private readonly CharTrie trie = new();
    private readonly int? unknownId;
    private readonly double unknownScore;
    private readonly int[]? fallbackOfByte;

    /// <param name="vocabulary">The pieces; of equal ones the last one's index is the id.</param>
    /// <param name="scores">Log probability by id.</param>
    public UnigramModel(Vocabulary vocabulary, double[] scores, int? unknownId, bool byteFallback)
        : base(vocabulary)
    {
        this.scores = scores;
        this.unknownId = unknownId;
        for (int index = 0; index < vocabulary.Count; index++)
        {
            trie.Add(vocabulary.Tokens.TokenAt(index), vocabulary.Tokens.IdAt(index));
        }

        unknownScore = (scores.Length == 0 ? 0 : scores.Min()) - UnknownPenalty;
        if (byteFallback)
        {
            fallbackOfByte = [.. Enumerable.Range(0, 256).Select(value => IdOf($"<0x{value:X2}>") ?? -1)];
        }
    }

    public override int Count => scores.Length;

    public override void Encode(in Piece piece, EncodingWorkspace workspace)
    {
        string mapped = piece.BytesPending ? ByteAlphabet.Map(piece.Span) : "";
        ReadOnlySpan<char> text = piece.BytesPending ? mapped : piece.Span;
        if (text.Length <= CachedLength && workspace.TryAppendCached(text))
        {
            return;
        }

        int first = workspace.Ids.Count;
        Segment(text, workspace.Ids);
        if (text.Length <= CachedLength)
        {
            workspace.Remember(text, first);
        }
    }

    private void Segment(ReadOnlySpan<char> text, List<int> output)
    {
        var best = new (double Score, int Start, int Id)[text.Length + 1];
        for (int i = 1; i <= text.Length; i++)
        {
            best[i].Start = -1;
        }

        for (int start = 0; start < text.Length;)
        {
            int width = char.IsHighSurrogate(text[start]) ? 2 : 1;
            double here = best[start].Score;
            bool single = false;
            int node = 0;
            for (int end = start; end < text.Length && (node = trie.Child(node, text[end])) >= 0;)
            {
                end++;
                if (trie.Value(node) is int id and >= 0)
                {
                    Offer(best, end, here + scores[id], start, id);
                    single |= end - start == width;
                }
            }

            if (!single)
            {
                Offer(best, start + width, here + unknownScore, start, unknownId
                    ?? throw TokenizerErrors.Invalid("the text holds characters that it does not know, and it has no unknown token"));
            }

            start += width;
        }

        Trace(text, best, output);
    }

    private static void Offer((double Score, int Start, int Id)[] best, int end, double score, int start, int id)
    {
        if (best[end].Start < 0 || score > best[end].Score)
        {
            best[end] = (score, start, id);
        }
    }

    private void Trace(ReadOnlySpan<char> text, (double Score, int Start, int Id)[] best, List<int> output)
    {
        int first = output.Count;
        for (int end = text.Length; end > 0;)
        {
            (_, int start, int id) = best[end];
            if (id != unknownId)
            {
                output.Add(id);
                end = start;
                continue;
            }

            int fusedEnd = end;
            while (end > 0 && best[end].Id == unknownId)
            {
                end = best[end].Start;
            }

            AddUnknownReversed(text[end..fusedEnd], output);
        }

        output.Reverse(first, output.Count - first);
    }

    private void AddUnknownReversed(ReadOnlySpan<char> text, List<int> output)
    {
        if (Vocabulary.TryGetId(text, out int id))
        {
            output.Add(id);
            return;
        }

        if (fallbackOfByte is not null)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text.ToArray());
            if (!Array.Exists(bytes, value => fallbackOfByte[value] < 0))
            {
                for (int i = bytes.Length - 1; i >= 0; i--)
                {
                    output.Add(fallbackOfByte[bytes[i]]);
                }

                return;
            }
        }

        output.Add(unknownId!.Value);
    }
}
