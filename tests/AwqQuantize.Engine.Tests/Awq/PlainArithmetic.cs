namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>Quantisation as the format defines it, in plain loops over doubles, to check the vectorised ways against.</summary>
internal static class PlainArithmetic
{
    /// <summary>Scale (exact in float16) and zero point that span smallest and largest weight and 0.</summary>
    public static (double Scale, double Zero) Range(IEnumerable<double> weights)
    {
        var (min, max) = (Math.Min(0, weights.Min()), Math.Max(0, weights.Max()));
        if (min == max)
            return (1, 0);
        var scale = (double)(Half)(float)((max - min) / 15);
        return (scale, Math.Clamp(Math.Round(-min / scale), 0, 15));
    }

    /// <summary>The nearest value that 4 bits have for a weight.</summary>
    public static double Nearest(double weight, double scale, double zero) => (Math.Clamp(Math.Round(weight / scale) + zero, 0, 15) - zero) * scale;

    /// <summary>Q(W · s) / s with ranges from minimum to maximum.</summary>
    public static double[,] Rounded(double[,] weights, IReadOnlyList<double> s, int groupSize)
    {
        var (rows, columns) = (weights.GetLength(0), weights.GetLength(1));
        var result = new double[rows, columns];
        for (var r = 0; r < rows; r++)
            for (var start = 0; start < columns; start += groupSize)
            {
                var scaled = Enumerable.Range(start, groupSize).Select(i => (double)(float)(weights[r, i] * s[i])).ToArray();
                var (scale, zero) = Range(scaled);
                for (var i = 0; i < groupSize; i++)
                    result[r, start + i] = Nearest(scaled[i], scale, zero) / s[start + i];
            }
        return result;
    }
}
