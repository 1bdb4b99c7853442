using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Rotates pairs of channels by their position (arXiv 2104.09864).</summary>
internal static class RotaryEmbedding
{
    /// <summary>A new tensor.</summary>
    /// <param name="x">[batch, length, heads, channels].</param>
    /// <param name="cos">[length, dims/2].</param>
    /// <param name="sin">[length, dims/2].</param>
    /// <param name="interleaved">Pairs are neighbours, else half of the rotated dimensions apart.</param>
    public static Tensor Apply(Tensor x, Tensor cos, Tensor sin, bool interleaved)
    {
        using var scope = NewDisposeScope();
        var half = cos.shape[1];
        var (c, s) = (cos.unsqueeze(1), sin.unsqueeze(1));
        var rotated = x.narrow(-1, 0, 2 * half);
        var (first, second) = interleaved
            ? (rotated.slice(-1, 0, 2 * half, 2), rotated.slice(-1, 1, 2 * half, 2))
            : (rotated.narrow(-1, 0, half), rotated.narrow(-1, half, half));
        var one = first.mul(c).addcmul_(second, s, -1);
        var two = second.mul(c).addcmul_(first, s, 1);
        var turned = interleaved ? stack([one, two], -1).flatten(-2) : cat([one, two], -1);
        var result = 2 * half == x.shape[^1] ? turned : cat([turned, x.narrow(-1, 2 * half, x.shape[^1] - 2 * half)], -1);
        return result.MoveToOuterDisposeScope();
    }
}
