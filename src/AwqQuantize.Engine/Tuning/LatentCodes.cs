using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>
/// Codes that are tuned: latent numbers, of which the model computes with the nearest allowed code; the gradient passes the rounding
/// unchanged (straight-through, arXiv 1308.3432), and its sign alone is followed (arXiv 2309.05516). They begin where the float
/// weights lie, but well within their code, so that what was a close decision changes first and nothing has changed at the start.
/// Compensated rounding leaves many codes that are not their weight's nearest: at their edge, two steps by chance would undo it.
/// </summary>
internal sealed class LatentCodes : IDisposable
{
    // Farthest from a code that its latent number begins, in codes.
    private const double Farthest = 0.4;

    private readonly Tensor lowest, highest;
    private readonly double rate;
    private Tensor? pending;

    /// <param name="codes">Codes minus zero points, [out, groups, group size].</param>
    /// <param name="residuals">Where the float weights lie seen from them, within half a code, [out, in].</param>
    /// <param name="zeros">Zero points, [out, groups, 1].</param>
    /// <param name="rate">Width of the first step, in codes.</param>
    public LatentCodes(Tensor codes, Tensor residuals, Tensor zeros, double rate)
    {
        using var scope = NewDisposeScope();
        Latent = residuals.view(codes.shape).clamp(-Farthest, Farthest).add(codes).DetachFromDisposeScope();
        lowest = zeros.to(ScalarType.Float32).neg().DetachFromDisposeScope();
        highest = lowest.add(15).DetachFromDisposeScope();
        this.rate = rate;
    }

    /// <summary>[out, groups, group size], float32.</summary>
    public Tensor Latent { get; }

    /// <summary>The nearest codes, minus zero points, as float32.</summary>
    public Tensor Nearest()
    {
        using var scope = NewDisposeScope();
        return Latent.round().maximum(lowest).minimum(highest).MoveToOuterDisposeScope();
    }

    /// <summary>Keeps the direction of the coming step.</summary>
    /// <param name="gradient">Of the weights, in the latent numbers' shape.</param>
    public void Offer(Tensor gradient)
    {
        Withdraw();
        using var sign = gradient.sign();
        pending = sign.to(ScalarType.Int8).DetachFromDisposeScope();
    }

    /// <summary>Forgets it.</summary>
    public void Withdraw()
    {
        pending?.Dispose();
        pending = null;
    }

    /// <summary>One step.</summary>
    /// <param name="factor">What is left of the first step's width (0 to 1).</param>
    public void Step(double factor)
    {
        if (pending is null)
            return;
        using var scope = NewDisposeScope();
        Latent.sub_(pending.to(ScalarType.Float32).mul_(rate * factor));
        Withdraw();
    }

    public void Dispose()
    {
        Latent.Dispose();
        lowest.Dispose();
        highest.Dispose();
        Withdraw();
    }
}
