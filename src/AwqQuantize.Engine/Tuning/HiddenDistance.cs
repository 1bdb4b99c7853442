using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>
/// How far a layer's output is from the float model's: the mean over tokens of |h - t|² / |t|². Beside the divergence of the
/// predictions it tells each layer more of what it does than they can, of as few tokens as a step sees (after TinyBERT's loss, arXiv
/// 1909.10351).
/// </summary>
internal static class HiddenDistance
{
    /// <summary>The gradient by h, times a weight.</summary>
    /// <param name="own">h, [rows, length, hidden].</param>
    /// <param name="wanted">t, likewise.</param>
    /// <param name="weight">Of this distance in the whole loss.</param>
    public static Tensor Gradient(Tensor own, Tensor wanted, double weight)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var tokens = own.shape[0] * own.shape[1];
        // Tokens of huge norm, which many models have, count like any other.
        var size = wanted.square().sum([2L], keepdim: true).clamp_min_(1e-12);
        return own.detach().sub(wanted).mul_(2 * weight / tokens).div_(size).MoveToOuterDisposeScope();
    }
}
