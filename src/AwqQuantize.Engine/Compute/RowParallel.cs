namespace AwqQuantize.Engine.Compute;

/// <summary>Spreads rows over the cores. Every row is computed by one thread alone, so results do not depend on how many there are.</summary>
public static class RowParallel
{
    /// <summary>Calls <paramref name="body"/> with ranges [from, to) that cover all rows.</summary>
    /// <param name="rows">How many rows there are.</param>
    /// <param name="cost">Rough number of element operations per row; little work stays on the calling thread.</param>
    public static void For(int rows, long cost, Action<int, int> body)
    {
        var threads = Environment.ProcessorCount;
        if (threads == 1 || rows == 1 || rows * cost < 32_768)
        {
            body(0, rows);
            return;
        }
        var pieces = Math.Min(rows, threads * 4);
        Parallel.For(0, pieces, piece => body((int)((long)rows * piece / pieces), (int)((long)rows * (piece + 1) / pieces)));
    }
}
