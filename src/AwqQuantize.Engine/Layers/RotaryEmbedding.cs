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
        var result = 2 * half == x.shape[^1] ? empty(x.shape, x.dtype, x.device) : x.clone();
        var target = result.narrow(-1, 0, 2 * half);
        var (one, two) = interleaved
            ? (target.slice(-1, 0, 2 * half, 2), target.slice(-1, 1, 2 * half, 2))
            : (target.narrow(-1, 0, half), target.narrow(-1, half, half));
        one.copy_(first.mul(c).addcmul_(second, s, -1));
        two.copy_(second.mul(c).addcmul_(first, s, 1));
        return result.MoveToOuterDisposeScope();
    }
}
