using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>
/// Tokens as UTF-8 in one block, numbered as they are added, and found by their bytes. A vocabulary is read once in a
/// process: the methods that run for each of its half a million tokens and merges are compiled at once, not tier by tier.
/// </summary>
internal sealed class TokenTable
{
    private readonly KeyedHash hash = KeyedHash.Create();
    private Entry[] entries;
    private byte[] text;
    private int textLength;

    // A slot holds the upper half of the hash above the index counted from one; zero is free.
    private ulong[] slots;
    private int shift;

    /// <param name="capacity">How many tokens to expect; the table grows beyond it.</param>
    public TokenTable(int capacity = 1 << 10)
    {
        entries = new Entry[Math.Max(capacity, 16)];
        text = new byte[entries.Length * 8];
        slots = [];
        Rehash((uint)entries.Length * 2);
    }

    public int Count { get; private set; }

    /// <summary>Adds a token; of equal ones the last one's id counts.</summary>
    /// <returns>The token's index.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Add(ReadOnlySpan<byte> token, int id)
    {
        ulong code = hash.Of(token);
        int slot = Find(token, code);
        if (slots[slot] != 0)
        {
            int known = IndexIn(slots[slot]);
            entries[known].Id = id;
            return known;
        }

        int index = Count++;
        if (index == entries.Length)
        {
            Array.Resize(ref entries, Count * 2);
        }

        if (text.Length - textLength < token.Length)
        {
            Array.Resize(ref text, checked(Math.Max(text.Length * 2, textLength + token.Length)));
        }

        token.CopyTo(text.AsSpan(textLength));
        entries[index] = new Entry { Start = textLength, Length = token.Length, Id = id };
        textLength += token.Length;
        slots[slot] = (code & 0xFFFFFFFF00000000) | (uint)(index + 1);
        if (Count * 2 > slots.Length)
        {
            Rehash((uint)slots.Length * 2);
        }

        return index;
    }

    public int Add(string token, int id) => Add(Encoding.UTF8.GetBytes(token), id);

    /// <returns>The token's index, or -1.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int IndexOf(ReadOnlySpan<byte> token)
    {
        ulong slot = slots[Find(token, hash.Of(token))];
        return slot == 0 ? -1 : IndexIn(slot);
    }

    /// <inheritdoc cref="IndexOf(ReadOnlySpan{byte})"/>
    public int IndexOf(ReadOnlySpan<char> token)
    {
        const int OnStack = 256;
        int longest = Encoding.UTF8.GetMaxByteCount(token.Length);
        Span<byte> bytes = longest <= OnStack ? stackalloc byte[OnStack] : new byte[longest];
        return IndexOf(bytes[..Encoding.UTF8.GetBytes(token, bytes)]);
    }

    /// <summary>Adds all pairs of tokens that join to the token.</summary>
    public void AddSplits(int index, List<MergePair> splits)
    {
        ReadOnlySpan<byte> token = Utf8At(index);
        for (int at = 1; at < token.Length; at++)
        {
            // Not inside a character.
            if ((token[at] & 0xC0) != 0x80 && IndexOf(token[..at]) is int left and >= 0 && IndexOf(token[at..]) is int right and >= 0)
            {
                splits.Add(new MergePair(left, right));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int IdAt(int index) => entries[index].Id;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ReadOnlySpan<byte> Utf8At(int index)
    {
        ref readonly Entry entry = ref entries[index];
        return text.AsSpan(entry.Start, entry.Length);
    }

    public string TokenAt(int index) => Encoding.UTF8.GetString(Utf8At(index));

    /// <returns>The slot that holds the token, or the free one where it belongs.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Find(ReadOnlySpan<byte> token, ulong code)
    {
        for (int slot = (int)(code >> shift); ; slot = (slot + 1) & (slots.Length - 1))
        {
            ulong held = slots[slot];
            if (held == 0 || ((held ^ code) >> 32 == 0 && Utf8At(IndexIn(held)).SequenceEqual(token)))
            {
                return slot;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Rehash(uint size)
    {
        ulong[] old = slots;
        slots = new ulong[BitOperations.RoundUpToPowerOf2(size)];
        shift = 64 - BitOperations.Log2((uint)slots.Length);
        foreach (ulong held in old)
        {
            if (held == 0)
            {
                continue;
            }

            // The upper half of the hash is enough to place it: no table has more than 2³¹ slots.
            int slot = (int)(held >> shift);
            while (slots[slot] != 0)
            {
                slot = (slot + 1) & (slots.Length - 1);
            }

            slots[slot] = held;
        }
    }

    private static int IndexIn(ulong slot) => (int)(uint)slot - 1;

    private record struct Entry(int Start, int Length, int Id);
}
