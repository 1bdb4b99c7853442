namespace AwqQuantize.Engine.Architectures;

/// <summary>The slopes of attention with linear biases.</summary>
internal static class AlibiSlopes
{
    public static AlibiSpec? Read(DescriptionNode? node, int heads) => node is null ? null : new AlibiSpec(
        node.Keyword("slopes", "extended", "interleaved") == "interleaved" ? Interleaved(heads, node.Number("max_bias") ?? 8) : Extended(heads),
        node.Flag("scaled", false), node.Flag("bfloat16", false));

    /// <summary>bloom's and falcon's: powers for the next smaller power of two, then every second one of twice as many.</summary>
    private static float[] Extended(int heads)
    {
        var closest = 1 << (int)Math.Floor(Math.Log2(heads));
        var step = Math.Pow(2, -Math.Pow(2, -(Math.Log2(closest) - 3)));
        var between = Math.Pow(2, -Math.Pow(2, -(Math.Log2(2 * closest) - 3)));
        return [.. Enumerable.Range(0, heads).Select(h => (float)(h < closest ? Math.Pow(step, h + 1) : Math.Pow(between, 2 * (h - closest) + 1)))];
    }

    /// <summary>mpt's: the slopes for the next larger power of two, the odd ones first.</summary>
    private static float[] Interleaved(int heads, double maxBias)
    {
        var next = 1;
        while (next < heads)
            next *= 2;
        var all = Enumerable.Range(1, next).Select(h => (float)(1 / Math.Pow(2, h * (maxBias / next)))).ToArray();
        return next == heads ? all : [.. all.Where((_, h) => h % 2 == 1).Concat(all.Where((_, h) => h % 2 == 0)).Take(heads)];
    }
}
