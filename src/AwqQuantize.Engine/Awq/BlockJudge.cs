using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Decides between candidates by the output of the block on real hidden states, where the linears' own errors do not tell the
/// whole story: behind a softmax or an activation. The block runs with fitted, nearest-rounded weights, which is cheap.
/// </summary>
internal sealed unsafe class BlockJudge(DecoderLayer layer, int block, Tensor sample)
{
    /// <summary>The candidate whose block output is nearest to the float one.</summary>
    public ScaleCandidate Choose(IReadOnlyList<ScaleCandidate> candidates, IReadOnlyList<ScaleConsumer> quantized, float[] importance, AwqSettings settings)
    {
        using var scope = NewDisposeScope();
        var wanted = layer.RunBlock(block, sample);
        var originals = quantized.ToDictionary(c => c, c => layer.Weights[c.Module + ".weight"].clone());
        var best = candidates[0];
        var least = double.PositiveInfinity;
        try
        {
            foreach (var candidate in candidates)
            {
                using var inner = NewDisposeScope();
                foreach (var consumer in quantized)
                    Place(consumer, originals[consumer], ScaleFold.ColumnScales(consumer, candidate.Scales), importance, settings);
                var error = layer.RunBlock(block, sample).sub_(wanted).pow_(2).sum(ScalarType.Float64).item<double>();
                if (error < least)
                    (least, best) = (error, candidate);
            }
            return best;
        }
        finally
        {
            // Also when memory has run out: the search is repeated then, on the weights as they were.
            foreach (var consumer in quantized)
                layer.Weights[consumer.Module + ".weight"].copy_(originals[consumer]);
        }
    }

    /// <summary>Puts Q(W · s) / s where W was.</summary>
    private void Place(ScaleConsumer consumer, Tensor original, float[] s, float[] importance, AwqSettings settings)
    {
        using var scope = NewDisposeScope();
        var weight = new float[importance.Length];
        for (var i = 0; i < weight.Length; i++)
            weight[i] = importance[i] / (s[i] * s[i]);
        var scales = layer.Compute.Upload(tensor(s));
        if (!layer.Compute.IsHost)
        {
            var weights = settings.FitRanges ? layer.Compute.Upload(tensor(weight)) : null;
            layer.Weights[consumer.Module + ".weight"].copy_(TensorRounding.Nearest(original, scales, weights, settings.GroupSize));
            return;
        }
        var scaled = original * scales;
        fixed (float* p = settings.FitRanges ? weight : null)
            RangeFit.RoundInPlace(TensorMemory.Floats(scaled), p, (int)scaled.shape[0], (int)scaled.shape[1], settings.GroupSize);
        layer.Weights[consumer.Module + ".weight"].copy_(scaled.div_(scales));
    }
}
