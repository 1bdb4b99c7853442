namespace AwqQuantize.Engine.Packing;

/// <summary>
/// The <c>pack-quantized</c> layout of compressed-tensors, 4 bits: nibble i of a word, from the lowest, holds a signed value plus 8.
/// Weights are packed along their inputs, zero points along the outputs. The weight is (q - z) · s.
/// </summary>
internal static unsafe class CompressedTensorsPacking
{
    private const int PerWord = 8;

    /// <summary>What is added to a signed value before it is packed; the zero point of a symmetric weight.</summary>
    public const int Offset = 8;

    /// <summary>Words of so many values.</summary>
    public static long Words(long values) => (values + PerWord - 1) / PerWord;

    /// <param name="packed">int32 [rows, ⌈columns/8⌉].</param>
    /// <param name="codes">[rows, columns], 0 to 15, overwritten.</param>
    public static void UnpackRows(int* packed, byte* codes, long rows, long columns)
    {
        var words = Words(columns);
        for (long r = 0; r < rows; r++)
            for (long c = 0; c < columns; c++)
                codes[r * columns + c] = Nibble(packed[r * words + c / PerWord], c);
    }

    /// <param name="packed">int32 [⌈rows/8⌉, columns].</param>
    /// <param name="codes">[rows, columns], 0 to 15, overwritten.</param>
    public static void UnpackColumns(int* packed, byte* codes, long rows, long columns)
    {
        for (long r = 0; r < rows; r++)
            for (long c = 0; c < columns; c++)
                codes[r * columns + c] = Nibble(packed[r / PerWord * columns + c], r);
    }

    private static byte Nibble(int word, long place) => (byte)(word >>> (int)(place % PerWord * 4) & 15);
}
