using AwqQuantize.Engine.Architectures;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>Linears that share an input, spread over devices.</summary>
internal static class RoundingShares
{
    /// <summary>One rounded linear: its codes, and what they stand for, where it was rounded.</summary>
    internal sealed record Rounded(LinearSpec Linear, QuantizedLinear Quantized, Tensor Weights, double Loss);

    /// <summary>What one device has rounded.</summary>
    internal sealed record Result(IReadOnlyList<Rounded> Linears) : IDisposable
    {
        public void Dispose()
        {
            foreach (var linear in Linears)
                linear.Weights.Dispose();
        }
    }

    /// <summary>Who rounds what: the largest first, each to whoever has the least; as many shares as there are devices, or fewer.</summary>
    public static IReadOnlyList<IReadOnlyList<LinearSpec>> Of(IReadOnlyList<LinearSpec> linears, int devices)
    {
        var shares = Enumerable.Range(0, Math.Min(devices, linears.Count)).Select(_ => new List<LinearSpec>()).ToList();
        foreach (var linear in linears.OrderByDescending(l => (long)l.In * l.Out))
            shares.MinBy(s => s.Sum(l => (long)l.In * l.Out))!.Add(linear);
        return shares;
    }

    /// <summary>Rounds a copy of the weights where the curvature is; the layer's own are changed when all shares are done.</summary>
    public static Rounded Round(LinearSpec linear, Tensor weights, Curvature curvature, long tokens, AwqSettings settings)
    {
        using var scope = NewDisposeScope();
        using var working = curvature.Device.Reserve(StageMemory.Rounding(linear) + 4L * linear.In * linear.Out);
        var copy = weights.to(curvature.Device.Torch, copy: true).contiguous();
        var quantized = LinearRounding.Round(copy, curvature, tokens, settings, out var loss);
        return new Rounded(linear, quantized, copy.DetachFromDisposeScope(), loss);
    }
}
