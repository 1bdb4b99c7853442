namespace AwqQuantize.Engine.Awq;

/// <summary>
/// A second round of the scale search, around the best of the first: along further directions in the space of scales, then channel
/// by channel where the most of the loss lies. Every step is judged with ranges and rounding in the loop and taken only if it helps.
/// </summary>
internal static class ScaleRefinement
{
    private const int SingleChannels = 16, Bins = 8;

    /// <summary>Moves all scales along directions, each a line search with halved steps.</summary>
    /// <param name="start">Best candidate so far.</param>
    /// <param name="directions">Of the logarithms of the scales, [channels] each, with mean 0 and standard deviation 1.</param>
    /// <param name="judge">The loss of scales.</param>
    public static ScaleCandidate AlongDirections(ScaleCandidate start, IEnumerable<float[]> directions, Func<float[], ScaleCandidate> judge)
    {
        var best = start;
        foreach (var direction in directions)
            foreach (var step in new[] { 0.2, 0.1, 0.05 })
                foreach (var sign in new[] { 1, -1 })
                    for (var moves = 0; moves < 4 && judge(Moved(best.Scales, direction, sign * step)) is var moved && moved.Loss < best.Loss; moves++)
                        best = moved;
        return best;
    }

    /// <summary>Changes single channels, those with the largest share of the loss, and then eighths of all channels together.</summary>
    /// <param name="start">Best candidate so far.</param>
    /// <param name="shares">Share of the loss of each channel.</param>
    /// <param name="judge">The loss of scales.</param>
    public static ScaleCandidate ByChannel(ScaleCandidate start, float[] shares, Func<float[], ScaleCandidate> judge)
    {
        var order = Enumerable.Range(0, shares.Length).OrderByDescending(i => shares[i]).ThenBy(i => i).ToArray();
        var parts = order.Take(SingleChannels).Select(i => (Channels: new[] { i }, Factor: 1.5f))
            .Concat(order.Chunk(Math.Max(1, (order.Length + Bins - 1) / Bins)).Select(bin => (Channels: bin, Factor: 1.15f)));
        var best = start;
        foreach (var (channels, factor) in parts)
            foreach (var f in new[] { factor, 1 / factor })
                for (var moves = 0; moves < 4 && judge(Multiplied(best.Scales, channels, f)) is var moved && moved.Loss < best.Loss; moves++)
                    best = moved;
        return best;
    }

    /// <summary>Logarithms of positive values, with mean 0 and standard deviation 1; null where they are all alike.</summary>
    public static float[]? Direction(IEnumerable<double> values)
    {
        var logs = values.Select(v => Math.Log(Math.Max(v, 1e-12))).ToArray();
        var mean = logs.Average();
        var deviation = Math.Sqrt(logs.Average(l => (l - mean) * (l - mean)));
        return deviation < 1e-6 ? null : [.. logs.Select(l => (float)((l - mean) / deviation))];
    }

    private static float[] Moved(float[] scales, float[] direction, double step) => [.. scales.Zip(direction, (s, d) => (float)(s * Math.Exp(step * d)))];

    private static float[] Multiplied(float[] scales, int[] channels, float factor)
    {
        var result = scales.ToArray();
        foreach (var channel in channels)
            result[channel] *= factor;
        return result;
    }
}
