using System.Numerics;
using System.Runtime.Intrinsics;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Rounds a linear to the nearest codes between minimum and maximum, and packs it, in one pass from the map to the words of the
/// format: a few output channels at a time on each core, so that nothing but the result leaves the caches.
/// </summary>
internal static unsafe class PlainLinear
{
    /// <summary>Output channels that are worked on together: a cache line of words.</summary>
    private const int Tile = 128;

    /// <summary>Rounds and packs.</summary>
    /// <param name="source">[out, in].</param>
    /// <param name="groupSize">Inputs per group.</param>
    /// <returns>Null where a value is infinite or not a number.</returns>
    public static AwqTensors? Pack(ParameterSource source, int groupSize)
    {
        var (outputs, inputs, groups) = (source.Rows, source.Columns, source.Columns / groupSize);
        var words = outputs / 8;
        var (qweight, qzeros, scales) = (new int[(long)inputs * words], new int[(long)groups * words], new Half[(long)groups * outputs]);
        var finite = 1;
        Parallel.For(0, (outputs + Tile - 1) / Tile, tile =>
        {
            var first = tile * Tile;
            var count = Math.Min(Tile, outputs - first);
            var values = new float[(long)count * inputs];
            var codes = new byte[(long)count * inputs];
            var zeros = new byte[count * groups];
            fixed (float* w = values)
            fixed (byte* c = codes, z = zeros)
            fixed (int* weight = qweight, zero = qzeros)
            {
                source.Read(first, count, w);
                for (var row = 0; row < count; row++)
                    for (var g = 0; g < groups; g++)
                    {
                        var start = (long)row * inputs + g * groupSize;
                        var (min, max) = GroupRange.Extremes(w + start, groupSize);
                        var (scale, shift) = GroupRange.Span(min, max);
                        if (!IsFinite(w + start, groupSize))
                            Volatile.Write(ref finite, 0);
                        Round(w + start, c + start, groupSize, 1 / scale, shift);
                        z[row * groups + g] = (byte)shift;
                        scales[(long)g * outputs + first + row] = (Half)scale;
                    }
                AwqPacking.PackTile(c, inputs, weight, words, first / 8, count / 8);
                AwqPacking.PackTile(z, groups, zero, words, first / 8, count / 8);
            }
        });
        return finite == 1 ? new AwqTensors(inputs, outputs, groupSize, qweight, qzeros, scales) : null;
    }

    private static void Round(float* w, byte* codes, int n, float inverse, float zero)
    {
        var i = 0;
        var (vInverse, vZero, most) = (Vector256.Create(inverse), Vector256.Create(zero), Vector256.Create(15f));
        for (; i <= n - 32; i += 32)
        {
            var low = Vector256.Narrow(Codes(i), Codes(i + 8));
            var high = Vector256.Narrow(Codes(i + 16), Codes(i + 24));
            Vector256.Narrow(low, high).AsByte().Store(codes + i);
        }
        for (; i < n; i++)
            codes[i] = (byte)GroupRange.Code(w[i], inverse, zero);

        Vector256<int> Codes(int at) => Vector256.ConvertToInt32(
            Vector256.Min(Vector256.Max(Vector256.Round(Vector256.Load(w + at) * vInverse) + vZero, Vector256<float>.Zero), most));
    }

    private static bool IsFinite(float* w, int n)
    {
        var i = 0;
        var largest = new Vector<float>(float.MaxValue);
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
            if (!Vector.LessThanOrEqualAll(Vector.Abs(Vector.Load(w + i)), largest))
                return false;
        for (; i < n; i++)
            if (!float.IsFinite(w[i]))
                return false;
        return true;
    }
}
