using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>A depthwise convolution along the sequence that sees no later position.</summary>
internal static class CausalConvolution
{
    /// <summary>A new tensor.</summary>
    /// <param name="x">[batch, length, channels].</param>
    /// <param name="weight">[channels, 1, kernel]; the last tap is the position itself.</param>
    /// <param name="bias">[channels], or null.</param>
    public static Tensor Apply(Tensor x, Tensor weight, Tensor? bias)
    {
        using var scope = NewDisposeScope();
        var kernel = weight.shape[2];
        var padded = nn.functional.pad(x, [0, 0, kernel - 1, 0]);
        var sum = padded.narrow(1, 0, x.shape[1]).mul(weight.select(2, 0).select(1, 0));
        for (var tap = 1; tap < kernel; tap++)
            sum.addcmul_(padded.narrow(1, tap, x.shape[1]), weight.select(2, tap).select(1, 0), 1);
        if (bias is not null)
            sum.add_(bias);
        return sum.MoveToOuterDisposeScope();
    }
}
