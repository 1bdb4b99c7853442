namespace AwqQuantize.Engine.Awq;

/// <summary>How many rows of a linear are worked on at once: what belongs to them stays near 64 MB, whatever the linear's size.</summary>
internal static class RowBands
{
    public const long Bytes = 64L << 20;

    private const int Fewest = 256;

    /// <summary>Rows of a band.</summary>
    /// <param name="columns">Float32 values per row.</param>
    public static int Height(int columns) => (int)Math.Max(Fewest, Bytes / (4L * columns));
}
