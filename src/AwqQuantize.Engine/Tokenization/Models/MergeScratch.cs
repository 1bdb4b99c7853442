namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>The symbols of one piece while they are merged, and the queue of merges; grows, is kept by its thread.</summary>
internal sealed class MergeScratch
{
    // Below this many symbols the best merge is found faster by looking at all than by a queue.
    private const int QueueFrom = 48;

    private int[] ids = new int[256];
    private int[] next = new int[256];
    private int[] previous = new int[256];
    private int[] ranks = new int[QueueFrom];
    private int[] merged = new int[QueueFrom];
    private readonly PriorityQueue<int, long> queue = new();

    public int Count { get; private set; }

    public byte[] Bytes { get; private set; } = new byte[1024];

    public char[] Chars { get; private set; } = new char[256];

    public void Clear() => Count = 0;

    public void Add(int id)
    {
        if (Count == ids.Length)
        {
            Array.Resize(ref ids, Count * 2);
            Array.Resize(ref next, Count * 2);
            Array.Resize(ref previous, Count * 2);
        }

        ids[Count++] = id;
    }

    public byte[] BytesOf(int length) => Bytes.Length >= length ? Bytes : Bytes = new byte[Math.Max(length, Bytes.Length * 2)];

    public char[] CharsOf(int length) => Chars.Length >= length ? Chars : Chars = new char[Math.Max(length, Chars.Length * 2)];

    /// <summary>Merges the symbols and appends what remains.</summary>
    /// <param name="exactQueue">Always run the queue: two tokens share an id, so that a stale entry can look alive.</param>
    public void MergeInto(List<int> output, MergeTable merges, bool exactQueue)
    {
        if (Count < QueueFrom && !exactQueue)
        {
            MergeByScan(merges);
            output.AddRange(ids.AsSpan(0, Count));
            return;
        }

        MergeByQueue(merges);
        for (int i = 0; i >= 0 && i < Count; i = next[i])
        {
            output.Add(ids[i]);
        }
    }

    private void MergeByScan(MergeTable merges)
    {
        int count = Count;
        for (int i = 0; i + 1 < count; i++)
        {
            merges.TryGet(ids[i], ids[i + 1], out ranks[i], out merged[i]);
        }

        while (true)
        {
            int best = -1;
            int bestRank = int.MaxValue;
            for (int i = 0; i + 1 < count; i++)
            {
                if (ranks[i] < bestRank)
                {
                    (best, bestRank) = (i, ranks[i]);
                }
            }

            if (best < 0)
            {
                break;
            }

            ids[best] = merged[best];
            count--;
            int tail = count - best - 1;
            Array.Copy(ids, best + 2, ids, best + 1, tail);
            if (tail > 0)
            {
                Array.Copy(ranks, best + 2, ranks, best + 1, tail - 1);
                Array.Copy(merged, best + 2, merged, best + 1, tail - 1);
                merges.TryGet(ids[best], ids[best + 1], out ranks[best], out merged[best]);
            }

            if (best > 0)
            {
                merges.TryGet(ids[best - 1], ids[best], out ranks[best - 1], out merged[best - 1]);
            }
        }

        Count = count;
    }

    // The order of Hugging Face's heap: by rank, then by position; an entry counts if the pair that stands at its
    // position now would still become the same token. Removed symbols have next = -2.
    private void MergeByQueue(MergeTable merges)
    {
        queue.Clear();
        for (int i = 0; i < Count; i++)
        {
            previous[i] = i - 1;
            next[i] = i + 1 < Count ? i + 1 : -1;
            if (i > 0 && merges.TryGet(ids[i - 1], ids[i], out int rank, out int id))
            {
                queue.Enqueue(id, Order(rank, i - 1));
            }
        }

        while (queue.TryDequeue(out int target, out long order))
        {
            int position = (int)(order & uint.MaxValue);
            int right = next[position];
            if (right < 0 || !merges.TryGet(ids[position], ids[right], out _, out int id) || id != target)
            {
                continue;
            }

            ids[position] = id;
            int after = next[right];
            next[position] = after;
            next[right] = -2;
            if (after >= 0)
            {
                previous[after] = position;
                if (merges.TryGet(id, ids[after], out int rank, out int newId))
                {
                    queue.Enqueue(newId, Order(rank, position));
                }
            }

            int before = previous[position];
            if (before >= 0 && merges.TryGet(ids[before], id, out int rankBefore, out int idBefore))
            {
                queue.Enqueue(idBefore, Order(rankBefore, before));
            }
        }
    }

    private static long Order(int rank, int position) => ((long)rank << 32) | (uint)position;
}
