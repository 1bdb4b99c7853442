using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests.Packing;

/// <summary>
/// An unpacker of its own, written from the description of the format and sharing nothing with the engine's: bit field of
/// octet c, row k: sum over i of q[k, 8c + ORDER[i]] &lt;&lt; 4i, ORDER = 0 2 4 6 1 3 5 7; W[out, in] = (q - z) * s.
/// </summary>
internal static class ReferenceUnpacker
{
    private static readonly int[] Order = [0, 2, 4, 6, 1, 3, 5, 7];

    /// <summary>Values [rows, 8 * columns] of packed words [rows, columns].</summary>
    public static int[,] Unpack(int[] words, int rows, int columns)
    {
        var values = new int[rows, 8 * columns];
        for (var k = 0; k < rows; k++)
        {
            for (var c = 0; c < columns; c++)
            {
                long word = (uint)words[k * columns + c];
                for (var i = 0; i < 8; i++)
                {
                    values[k, 8 * c + Order[i]] = (int)(word % 16);
                    word /= 16;
                }
            }
        }
        return values;
    }

    /// <summary>Weights [out, in].</summary>
    public static float[] Dequantize(int[] qweight, int[] qzeros, Half[] scales, int outputs, int inputs, int group)
    {
        var q = Unpack(qweight, inputs, outputs / 8);
        var z = Unpack(qzeros, inputs / group, outputs / 8);
        var weights = new float[outputs * inputs];
        for (var o = 0; o < outputs; o++)
        {
            for (var k = 0; k < inputs; k++)
                weights[o * inputs + k] = (q[k, o] - z[k / group, o]) * (float)scales[k / group * outputs + o];
        }
        return weights;
    }

    /// <summary>A tensor of a checkpoint as an array of its elements.</summary>
    public static unsafe T[] Read<T>(ModelFolder model, string name)
        where T : unmanaged =>
        new ReadOnlySpan<T>(model.Pointer(name), checked((int)model.Entry(name).ElementCount)).ToArray();
}
