using System.Numerics;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>The tokens of a vocabulary as a trie over UTF-16 code units, in one hash table.</summary>
internal sealed class CharTrie
{
    private const int FirstSize = 1 << 8;

    private readonly KeyedHash hash = KeyedHash.Create();
    private readonly List<int> values = [-1];
    private ulong[] keys = new ulong[FirstSize];
    private int[] children = new int[FirstSize];
    private int shift = 64 - BitOperations.Log2(FirstSize);

    /// <summary>Adds a token; of equal ones the last one's id counts, and the empty one is never found.</summary>
    public void Add(ReadOnlySpan<char> token, int id)
    {
        int node = 0;
        foreach (char c in token)
        {
            int child = Child(node, c);
            if (child < 0)
            {
                child = values.Count;
                values.Add(-1);
                if (values.Count * 2 > keys.Length)
                {
                    Grow();
                }

                Insert(Key(node, c), child);
            }

            node = child;
        }

        if (node > 0)
        {
            values[node] = id;
        }
    }

    /// <returns>The id of the token that ends here, or -1.</returns>
    public int Value(int node) => values[node];

    /// <returns>The node that follows, or -1.</returns>
    public int Child(int node, char c)
    {
        ulong key = Key(node, c);
        for (int slot = Slot(key); keys[slot] != 0; slot = (slot + 1) & (keys.Length - 1))
        {
            if (keys[slot] == key)
            {
                return children[slot];
            }
        }

        return -1;
    }

    // Nodes are counted from one in the key, because zero marks a free slot.
    private static ulong Key(int node, char c) => ((ulong)(uint)(node + 1) << 16) | c;

    private int Slot(ulong key) => (int)(hash.Of(key) >> shift);

    private void Insert(ulong key, int child)
    {
        int slot = Slot(key);
        while (keys[slot] != 0)
        {
            slot = (slot + 1) & (keys.Length - 1);
        }

        (keys[slot], children[slot]) = (key, child);
    }

    private void Grow()
    {
        (ulong[] oldKeys, int[] oldChildren) = (keys, children);
        keys = new ulong[oldKeys.Length * 2];
        children = new int[oldKeys.Length * 2];
        shift--;
        for (int i = 0; i < oldKeys.Length; i++)
        {
            if (oldKeys[i] != 0)
            {
                Insert(oldKeys[i], oldChildren[i]);
            }
        }
    }
}
