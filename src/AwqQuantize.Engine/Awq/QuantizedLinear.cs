using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// A linear in 4 bits: W[o, i] ≈ (code[o, i] - zero[o, g]) · scale[o, g] with g = i / group size. Scales hold float32 copies of
/// values that are exact in float16, so that what is measured is what is stored.
/// </summary>
public sealed class QuantizedLinear
{
    private byte[]? codes;

    /// <param name="rows">Output channels.</param>
    /// <param name="columns">Input channels.</param>
    /// <param name="groupSize">Columns that share a scale.</param>
    /// <param name="words">The codes, if they are packed already (<see cref="Words"/>); else <see cref="Codes"/> are there to be filled.</param>
    public QuantizedLinear(int rows, int columns, int groupSize, int[]? words = null)
    {
        if (columns % groupSize != 0)
            throw new ArgumentException($"{columns} columns are no multiple of the group size {groupSize}.");
        (Rows, Columns, GroupSize, Groups, Words) = (rows, columns, groupSize, columns / groupSize, words);
        codes = words is null ? GC.AllocateUninitializedArray<byte>(checked(rows * columns)) : null;
        Scales = new float[(long)rows * Groups];
        Zeros = new byte[(long)rows * Groups];
    }

    /// <summary>Output channels.</summary>
    public int Rows { get; }

    /// <summary>Input channels.</summary>
    public int Columns { get; }

    public int GroupSize { get; }

    /// <summary>Groups per row.</summary>
    public int Groups { get; }

    /// <summary>[Rows, Columns], each 0 to 15; not to be changed where there are <see cref="Words"/>.</summary>
    public byte[] Codes => codes ??= AwqPacking.Unpack(Words, Rows, Columns);

    /// <summary>The codes as the format packs them, int32 [Columns, Rows / 8], where a device has done so; else null.</summary>
    public int[]? Words { get; }

    /// <summary>[Rows, Groups], positive, exact in float16.</summary>
    public float[] Scales { get; }

    /// <summary>[Rows, Groups], each 0 to 15.</summary>
    public byte[] Zeros { get; }

    /// <summary>See <see cref="LinearOutcome.RoundingGain"/>.</summary>
    public double? RoundingGain { get; set; }

    /// <summary>
    /// Where each float weight lies seen from its code, in 256ths of a code, at most 126 either way, [Rows, Columns]: which codes are
    /// a close decision. Null where it was not kept.
    /// </summary>
    public sbyte[]? Residuals { get; private set; }

    /// <summary>Notes the residuals.</summary>
    /// <param name="weights">[Rows, Columns], what was quantised.</param>
    public unsafe void KeepResiduals(float* weights)
    {
        var residuals = new sbyte[Codes.LongLength];
        Compute.RowParallel.For(Rows, Columns, (from, to) =>
        {
            for (var i = (long)from * Columns; i < (long)to * Columns; i++)
            {
                var group = i / GroupSize;
                var position = weights[i] / Scales[group] + Zeros[group];
                residuals[i] = (sbyte)Math.Clamp(MathF.Round((position - Codes[i]) * 256), -126, 126);
            }
        });
        Residuals = residuals;
    }

    /// <summary>Writes the dequantised weights, [Rows, Columns].</summary>
    public unsafe void Dequantize(float* destination) => Dequantize(0, Rows, destination);

    /// <summary>Writes the dequantised weights of some rows, [count, Columns].</summary>
    public unsafe void Dequantize(int first, int count, float* destination) =>
        Compute.RowParallel.For(count, Columns, (from, to) =>
        {
            for (long row = from; row < to; row++)
                for (var g = 0; g < Groups; g++)
                {
                    var at = (first + row) * Groups + g;
                    var (scale, zero) = (Scales[at], (float)Zeros[at]);
                    var start = (long)g * GroupSize;
                    for (var i = start; i < start + GroupSize; i++)
                        destination[row * Columns + i] = (Codes[(first + row) * Columns + i] - zero) * scale;
                }
        });

    /// <summary>
    /// Divides rows by s, as folding a scale into a producer asks. Codes and zero points stay; the group scales are rounded to
    /// float16 again, so the fold costs at most half a unit in their last place.
    /// </summary>
    public void DivideRow(int row, float s)
    {
        for (var g = 0; g < Groups; g++)
        {
            ref var scale = ref Scales[(long)row * Groups + g];
            scale = GroupRange.Storable(scale / s);
        }
    }
}
