using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Awq;

/// <summary>Rounds every weight to the nearest code of its group.</summary>
public static unsafe class NearestRounding
{
    /// <param name="weights">[rows, columns].</param>
    /// <param name="into">Has its scales and zero points; receives the codes.</param>
    public static void Round(float* weights, QuantizedLinear into)
    {
        var (columns, n, groups) = (into.Columns, into.GroupSize, into.Groups);
        RowParallel.For(into.Rows, columns, (from, to) =>
        {
            fixed (byte* codes = into.Codes)
                for (var row = from; row < to; row++)
                    for (var g = 0; g < groups; g++)
                    {
                        var inverse = 1 / into.Scales[(long)row * groups + g];
                        float zero = into.Zeros[(long)row * groups + g];
                        var start = (long)row * columns + (long)g * n;
                        for (var i = start; i < start + n; i++)
                            codes[i] = (byte)GroupRange.Code(weights[i], inverse, zero);
                    }
        });
    }
}
