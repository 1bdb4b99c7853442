using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Rounds a linear to the nearest codes between minimum and maximum, and packs it, in one pass from the map to the words of the
/// format: some output channels at a time on each core, and of these some columns, so that nothing but the result leaves the caches.
/// </summary>
internal static unsafe class PlainLinear
{
    /// <summary>Output channels that are worked on together: a cache line of words.</summary>
    private const int Tile = 128;

    // Of a tile, columns whose codes are collected before they are packed: 256 KB of codes.
    private const int Piece = 2048;

    [ThreadStatic]
    private static float[]? line;

    [ThreadStatic]
    private static byte[]? collected;

    /// <summary>Rounds and packs.</summary>
    /// <param name="source">[out, in].</param>
    /// <param name="groupSize">Inputs per group.</param>
    /// <param name="words">Memory for the words, [in · out/8]; overwritten.</param>
    /// <returns>Null where a value is infinite or not a number.</returns>
    public static AwqTensors? Pack(ParameterSource source, int groupSize, int[] words)
    {
        var (outputs, inputs, groups) = (source.Rows, source.Columns, source.Columns / groupSize);
        var (qzeros, scales) = (new int[(long)groups * (outputs / 8)], new Half[(long)groups * outputs]);
        var finite = 1;
        Parallel.For(0, (outputs + Tile - 1) / Tile, tile =>
        {
            if (!PackTile(source, groupSize, tile * Tile, words, qzeros, scales))
                Volatile.Write(ref finite, 0);
        });
        return finite == 1 ? new AwqTensors(inputs, outputs, groupSize, words, qzeros, scales) : null;
    }

    /// <summary>Up to 128 output channels. False where a value is infinite or not a number.</summary>
    private static bool PackTile(ParameterSource source, int size, int first, int[] words, int[] zeroWords, Half[] scales)
    {
        var (outputs, inputs, groups) = (source.Rows, source.Columns, source.Columns / size);
        var count = Math.Min(Tile, outputs - first);
        var piece = Math.Min(inputs, Piece / size * size);
        var values = Room(ref line, source.HasRows ? piece : (long)count * inputs);
        var finite = true;
        fixed (float* w = values)
        fixed (byte* codes = Room(ref collected, (long)count * (piece + groups)))
        fixed (int* packed = words, packedZeros = zeroWords)
        {
            var zeros = codes + (long)count * piece;
            if (!source.HasRows)
                source.Read(first, count, w);
            for (var column = 0; column < inputs; column += piece)
            {
                var width = Math.Min(piece, inputs - column);
                for (var row = 0; row < count; row++)
                {
                    var from = source.HasRows ? w : w + (long)row * inputs + column;
                    if (source.HasRows)
                        source.ReadRow(first + row, column, width, from);
                    for (var start = 0; start < width; start += size)
                    {
                        finite &= Extremes(from + start, size, out var min, out var max);
                        var (scale, zero) = GroupRange.Span(min, max);
                        Round(from + start, codes + (long)row * width + start, size, 1 / scale, zero);
                        var group = (column + start) / size;
                        zeros[row * groups + group] = (byte)zero;
                        scales[(long)group * outputs + first + row] = (Half)scale;
                    }
                }
                AwqPacking.PackTile(codes, width, packed + (long)column * (outputs / 8), outputs / 8, first / 8, count / 8);
            }
            AwqPacking.PackTile(zeros, groups, packedZeros, outputs / 8, first / 8, count / 8);
        }
        return finite;
    }

    private static T[] Room<T>(ref T[]? kept, long length) =>
        kept is not null && kept.LongLength >= length ? kept : kept = GC.AllocateUninitializedArray<T>(checked((int)length));

    private static void Round(float* w, byte* codes, int n, float inverse, float zero)
    {
        var i = 0;
        var (vInverse, vZero, most) = (Vector256.Create(inverse), Vector256.Create(zero), Vector256.Create(15f));
        for (; i <= n - 32; i += 32)
        {
            var low = Vector256.Narrow(Codes(w + i, vInverse, vZero, most), Codes(w + i + 8, vInverse, vZero, most));
            var high = Vector256.Narrow(Codes(w + i + 16, vInverse, vZero, most), Codes(w + i + 24, vInverse, vZero, most));
            Vector256.Narrow(low, high).AsByte().Store(codes + i);
        }
        for (; i < n; i++)
            codes[i] = (byte)GroupRange.Code(w[i], inverse, zero);
    }

    // Values are finite, or the result is thrown away: the processor's own order of operands will do.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Codes(float* w, Vector256<float> inverse, Vector256<float> zero, Vector256<float> most) => Vector256.ConvertToInt32Native(
        Vector256.MinNative(Vector256.MaxNative(Vector256.Round(Vector256.Load(w) * inverse) + zero, Vector256<float>.Zero), most));

    /// <summary>Smallest and largest of n values. False where one is infinite or not a number.</summary>
    private static bool Extremes(float* w, int n, out float min, out float max)
    {
        var i = 0;
        (min, max) = (w[0], w[0]);
        var nothing = 0f; // v - v is 0 unless v is infinite or not a number
        if (n >= 16)
        {
            var (low, high, low2, high2) = (Vector256.Load(w), Vector256.Load(w), Vector256.Load(w + 8), Vector256.Load(w + 8));
            var sum = Vector256<float>.Zero;
            for (; i <= n - 16; i += 16)
            {
                var (a, b) = (Vector256.Load(w + i), Vector256.Load(w + i + 8));
                (low, high) = (Vector256.MinNative(low, a), Vector256.MaxNative(high, a));
                (low2, high2) = (Vector256.MinNative(low2, b), Vector256.MaxNative(high2, b));
                sum += (a - a) + (b - b);
            }
            (low, high) = (Vector256.MinNative(low, low2), Vector256.MaxNative(high, high2));
            var (least, most) = (Vector128.MinNative(low.GetLower(), low.GetUpper()), Vector128.MaxNative(high.GetLower(), high.GetUpper()));
            (least, most) = (Vector128.MinNative(least, Vector128.Shuffle(least, Vector128.Create(2, 3, 0, 1))), Vector128.MaxNative(most, Vector128.Shuffle(most, Vector128.Create(2, 3, 0, 1))));
            (least, most) = (Vector128.MinNative(least, Vector128.Shuffle(least, Vector128.Create(1, 0, 3, 2))), Vector128.MaxNative(most, Vector128.Shuffle(most, Vector128.Create(1, 0, 3, 2))));
            (min, max) = (least.ToScalar(), most.ToScalar());
            nothing = Vector256.Sum(sum);
        }
        for (; i < n; i++)
        {
            (min, max) = (MathF.Min(min, w[i]), MathF.Max(max, w[i]));
            nothing += w[i] - w[i];
        }
        return nothing == 0;
    }
}
