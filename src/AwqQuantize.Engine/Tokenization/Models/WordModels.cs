using System.Text;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Each piece is a token, or unknown.</summary>
internal sealed class WordLevelModel(Vocabulary vocabulary, string unknownToken) : TokenModel(vocabulary)
{
    public override void Encode(in Piece piece, EncodingWorkspace workspace)
    {
        ReadOnlySpan<char> text = piece.BytesPending ? ByteAlphabet.Map(piece.Span) : piece.Span;
        workspace.Ids.Add(Vocabulary.TryGetId(text, out int id) || Vocabulary.TryGetId(unknownToken, out id) ? id
            : throw TokenizerErrors.Invalid($"its unknown token '{unknownToken}' is not in the vocabulary, but the text needs it"));
    }
}

/// <summary>BERT's WordPiece: the longest known prefix, again and again; a piece with an unknown rest is unknown as a whole.</summary>
internal sealed class WordPieceModel(Vocabulary vocabulary, string unknownToken, string continuingPrefix, int longestWord)
    : TokenModel(vocabulary)
{
    private readonly int longestToken = Enumerable.Range(0, vocabulary.Count).Select(index => vocabulary.Tokens.TokenAt(index).Length).DefaultIfEmpty().Max();

    public override void Encode(in Piece piece, EncodingWorkspace workspace)
    {
        ReadOnlySpan<char> text = piece.BytesPending ? ByteAlphabet.Map(piece.Span) : piece.Span;
        int first = workspace.Ids.Count;
        if (CountCharacters(text) > longestWord || !TrySegment(text, workspace))
        {
            workspace.Ids.RemoveRange(first, workspace.Ids.Count - first);
            workspace.Ids.Add(Vocabulary.TryGetId(unknownToken, out int unknown) ? unknown
                : throw TokenizerErrors.Invalid($"its unknown token '{unknownToken}' is not in the vocabulary, but the text needs it"));
        }
    }

    private static int CountCharacters(ReadOnlySpan<char> text)
    {
        int count = 0;
        foreach (Rune _ in text.EnumerateRunes())
        {
            count++;
        }

        return count;
    }

    private bool TrySegment(ReadOnlySpan<char> text, EncodingWorkspace workspace)
    {
        for (int start = 0; start < text.Length;)
        {
            int prefix = start == 0 ? 0 : continuingPrefix.Length;
            char[] chars = workspace.Merge.CharsOf(prefix + Math.Min(text.Length - start, longestToken));
            continuingPrefix.AsSpan(0, prefix).CopyTo(chars);
            int end = start + Math.Min(text.Length - start, longestToken);
            text[start..end].CopyTo(chars.AsSpan(prefix));
            int id = -1;
            while (end > start && !(IsWhole(text, end) && Vocabulary.TryGetId(chars.AsSpan(0, prefix + end - start), out id)))
            {
                end--;
            }

            if (end == start)
            {
                return false;
            }

            workspace.Ids.Add(id);
            start = end;
        }

        return true;
    }

    private static bool IsWhole(ReadOnlySpan<char> text, int end) => end == text.Length || !char.IsLowSurrogate(text[end]);
}
