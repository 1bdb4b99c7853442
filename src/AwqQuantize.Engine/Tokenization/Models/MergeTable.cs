using System.Numerics;
using System.Runtime.CompilerServices;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Pairs of token ids that merge: their rank (lower merges first) and the id they become.</summary>
internal sealed class MergeTable
{
    private readonly KeyedHash hash = KeyedHash.Create();
    private readonly Entry[] entries;
    private readonly int shift;

    private MergeTable(int capacity)
    {
        uint size = BitOperations.RoundUpToPowerOf2((uint)Math.Max(capacity, 8) * 2);
        entries = new Entry[size];
        shift = 64 - BitOperations.Log2(size);
    }

    /// <param name="pairs">The merges, best first; the last of two equal pairs counts.</param>
    /// <param name="prefixLength">Bytes at the start of each right token that the joined token lacks.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static MergeTable Make(TokenTable tokens, List<MergePair> pairs, int prefixLength)
    {
        var table = new MergeTable(pairs.Count);
        Span<byte> joined = stackalloc byte[128];
        int previous = 0;
        for (int rank = 0; rank < pairs.Count; rank++)
        {
            MergePair pair = pairs[rank];
            ReadOnlySpan<byte> left = tokens.Utf8At(pair.Left);
            ReadOnlySpan<byte> right = tokens.Utf8At(pair.Right);
            if (right.Length < prefixLength)
            {
                throw TokenizerErrors.Invalid($"merge {rank} ('{tokens.TokenAt(pair.Left)}' '{tokens.TokenAt(pair.Right)}') is shorter than the continuing subword prefix");
            }

            right = right[prefixLength..];
            if (joined.Length < left.Length + right.Length)
            {
                joined = new byte[(left.Length + right.Length) * 2];
            }

            left.CopyTo(joined);
            right.CopyTo(joined[left.Length..]);
            int index = IndexOf(joined[..(left.Length + right.Length)], tokens, previous);
            if (index < 0)
            {
                throw NotInVocabulary(rank, tokens.TokenAt(pair.Left), tokens.TokenAt(pair.Right));
            }

            table.Set(tokens.IdAt(pair.Left), tokens.IdAt(pair.Right), rank, tokens.IdAt(index));
            previous = index;
        }

        return table;
    }

    public static AwqException NotInVocabulary(int rank, string left, string right) =>
        TokenizerErrors.Invalid($"merge {rank} ('{Shown(left)}' '{Shown(right)}') names a token that is not in the vocabulary");

    public bool TryGet(int left, int right, out int rank, out int id)
    {
        ulong key = Key(left, right);
        for (int slot = Slot(key); ; slot = (slot + 1) & (entries.Length - 1))
        {
            ref readonly Entry entry = ref entries[slot];
            if (entry.Key == key)
            {
                (rank, id) = (entry.Rank, entry.Id);
                return true;
            }

            if (entry.Key == 0)
            {
                (rank, id) = (int.MaxValue, -1);
                return false;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Set(int left, int right, int rank, int id)
    {
        ulong key = Key(left, right);
        int slot = Slot(key);
        while (entries[slot].Key != key && entries[slot].Key != 0)
        {
            slot = (slot + 1) & (entries.Length - 1);
        }

        entries[slot] = new Entry(key, rank, id);
    }

    // Most vocabularies list tokens in the order of their merges: looking next to the last one spares a look-up.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int IndexOf(ReadOnlySpan<byte> joined, TokenTable tokens, int previous)
    {
        int next = previous + 1;
        return next < tokens.Count && joined.SequenceEqual(tokens.Utf8At(next)) ? next
            : previous < tokens.Count && joined.SequenceEqual(tokens.Utf8At(previous)) ? previous
            : tokens.IndexOf(joined);
    }

    // Zero marks a free slot, so ids are counted from one in the key.
    private static ulong Key(int left, int right) => ((ulong)(uint)(left + 1) << 32) | (uint)(right + 1);

    private int Slot(ulong key) => (int)(hash.Of(key) >> shift);

    private static string Shown(string token) => token.Length <= 40 ? token : token[..40] + "…";

    private readonly record struct Entry(ulong Key, int Rank, int Id);
}
