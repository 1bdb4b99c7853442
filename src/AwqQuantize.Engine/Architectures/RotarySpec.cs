namespace AwqQuantize.Engine.Architectures;

/// <summary>Rotary position embedding of queries and keys.</summary>
/// <param name="Dims">How many leading dimensions of a head are rotated.</param>
/// <param name="Interleaved">Pairs are neighbours (2j, 2j+1); else (j, j + Dims/2).</param>
/// <param name="Theta">Base of the frequencies.</param>
/// <param name="Scaling">Scaling for long contexts, or null.</param>
/// <param name="MaxPositions">The config's longest length.</param>
public sealed record RotarySpec(int Dims, bool Interleaved, double Theta, RotaryScaling? Scaling, int MaxPositions)
{
    internal static RotarySpec? Read(DescriptionNode attention, string key, int headDim, int maxPositions)
    {
        if (attention.Child(key) is not { } node)
            return null;
        var dims = node.Has("dims") ? (int)node.RequiredNumber("dims") : headDim;
        if (dims <= 0 || dims > headDim || dims % 2 != 0)
            throw node.NotA($"an even number of dimensions within the head's {headDim}", "dims", dims);
        return new RotarySpec(dims, node.Keyword("pairs", "half", "interleaved") == "interleaved", node.RequiredNumber("theta"),
            RotaryScaling.Read(node, maxPositions), maxPositions);
    }

    /// <summary>Frequencies per position, and the factor of cos and sin, for sequences of a length. As transformers computes them, in float32.</summary>
    public (float[] Frequencies, float Factor) Frequencies(int length)
    {
        var theta = Theta;
        if (Scaling is { Kind: RotaryScalingKind.Dynamic } ntk && length > MaxPositions)
            theta *= Math.Pow(ntk.Factor * length / MaxPositions - (ntk.Factor - 1), Dims / (Dims - 2.0));
        var frequencies = new float[Dims / 2];
        for (var j = 0; j < frequencies.Length; j++)
            frequencies[j] = 1f / (float)Math.Pow(theta, 2.0 * j / Dims);
        return Scaling is null ? (frequencies, 1f) : (Scaling.Apply(frequencies, this, length), (float)Scaling.AttentionFactor(length));
    }
}
