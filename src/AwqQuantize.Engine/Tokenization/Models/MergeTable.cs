using System.Numerics;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Pairs of token ids that merge: their rank (lower merges first) and the id they become.</summary>
internal sealed class MergeTable
{
    private const ulong Multiplier = 0x9E3779B97F4A7C15;

    private readonly Entry[] entries;
    private readonly int shift;

    public MergeTable(int capacity)
    {
        uint size = BitOperations.RoundUpToPowerOf2((uint)Math.Max(capacity, 8) * 2);
        entries = new Entry[size];
        shift = 64 - BitOperations.Log2(size);
    }

    /// <summary>Adds a pair; the last of two equal pairs counts.</summary>
    public void Set(int left, int right, int rank, int id)
    {
        ulong key = Key(left, right);
        for (int slot = Slot(key); ; slot = (slot + 1) & (entries.Length - 1))
        {
            if (entries[slot].Key == key || entries[slot].Key == 0)
            {
                entries[slot] = new Entry(key, rank, id);
                return;
            }
        }
    }

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

    // Zero marks a free slot, so ids are counted from one in the key.
    private static ulong Key(int left, int right) => ((ulong)(uint)(left + 1) << 32) | (uint)(right + 1);

    private int Slot(ulong key) => (int)((key * Multiplier) >> shift);

    private readonly record struct Entry(ulong Key, int Rank, int Id);
}
