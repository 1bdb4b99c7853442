using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

// Linears are rounded: alone, side by side on several devices, or with rows that know of each other.
public sealed partial class LayerQuantizer
{
    /// <summary>Linears that share an input, side by side where there are several devices.</summary>
    private void Round(IReadOnlyList<LinearSpec> readers, Curvature curvature, long tokens, CurvatureCopies? copies)
    {
        if (copies is not { Count: > 1 } || readers.Count < 2 || gradients is not null)
        {
            foreach (var linear in readers)
                Round(linear, curvature, tokens);
            return;
        }
        cancel.ThrowIfCancellationRequested();
        var shares = RoundingShares.Of(readers, copies.Count);
        var results = Stage("rounding", () => 0, curvature, () =>
        {
            // By now the layer may be on the host, or on one device alone.
            var members = Math.Min(copies.Count, shares.Count);
            copies.Prepare(members);
            return DeviceTeam.Share(members, member => new RoundingShares.Result([.. shares.Where((_, i) => i % members == member).SelectMany(s => s)
                .Select(linear => RoundingShares.Round(linear, layer.Weights[linear.Module + ".weight"], copies.On(member), tokens, settings))]));
        });
        foreach (var (linear, result) in results.SelectMany(r => r.Linears).OrderBy(r => readers.TakeWhile(l => l != r.Linear).Count()).Select(r => (r.Linear, r)))
        {
            layer.Weights[linear.Module + ".weight"].copy_(result.Weights);
            layer.Weights.Touch(linear.Module + ".weight");
            Keep(linear, result.Quantized, result.Loss, tokens);
        }
        foreach (var result in results)
            result.Dispose();
    }

    private void Round(LinearSpec linear, Curvature curvature, long tokens)
    {
        cancel.ThrowIfCancellationRequested();
        var loss = 0.0;
        var result = Stage("rounding", () => StageMemory.Rounding(linear), curvature, () =>
        {
            using var scope = NewDisposeScope();
            var weights = layer.Weights[linear.Module + ".weight"];
            return gradients?.Grams(linear) is { } grams ? RoundCoupled(weights, curvature, grams, out loss) : LinearRounding.Round(weights, curvature, tokens, settings, out loss);
        });
        layer.Weights.Touch(linear.Module + ".weight");
        Keep(linear, result, loss, tokens);
    }

    /// <summary>The host does this, wherever the layer is: one row waits for the other.</summary>
    private QuantizedLinear RoundCoupled(Tensor weights, Curvature curvature, IReadOnlyList<Tensor> grams, out double loss)
    {
        if (curvature.Device.IsHost)
            return CoupledRounding.Round(weights, curvature, grams, settings, out loss);
        using var there = curvature.OnHost();
        using var copy = weights.to(CPU, copy: true);
        var result = CoupledRounding.Round(copy, there, grams, settings, out loss);
        weights.copy_(copy);
        return result;
    }

    private void Keep(LinearSpec linear, QuantizedLinear result, double loss, long tokens)
    {
        quantized[linear.Module] = result;
        linears.Add(new LinearOutcome(linear.Module, loss, tokens) { RoundingGain = result.RoundingGain });
        NativeHeap.Tidy();
    }
}
