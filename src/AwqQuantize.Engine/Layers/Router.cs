using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Chooses and weights the experts of each token.</summary>
internal static class Router
{
    /// <summary>The choice.</summary>
    /// <param name="logits">[tokens, experts].</param>
    /// <param name="correction">Added to the scores for the choice only, or null.</param>
    /// <returns>[tokens, k] int64 and [tokens, k] float32.</returns>
    public static (Tensor Experts, Tensor Weights) Choose(RouterSpec spec, int perToken, Tensor logits, Tensor? correction)
    {
        using var scope = NewDisposeScope();
        if (spec.Scores == RouterScores.SparseMixer)
        {
            var (first, second) = SparseMixer(logits, spec.Jitter);
            return (cat([first.Index, second.Index], -1).MoveToOuterDisposeScope(), cat([first.Weight, second.Weight], -1).MoveToOuterDisposeScope());
        }
        var scores = spec.Scores switch
        {
            RouterScores.Softmax => logits.softmax(-1),
            RouterScores.Sigmoid => logits.sigmoid(),
            _ => logits,
        };
        var choice = correction is null ? scores : scores.add(correction.flatten());
        if (spec.Groups > 1)
            choice = KeepGroups(spec, choice);
        var chosen = choice.topk(perToken, -1).indexes;
        var weights = scores.gather(-1, chosen);
        if (spec.SoftmaxAfter)
            weights = weights.softmax(-1);
        if (spec.SigmoidAfter)
            weights = weights.sigmoid();
        if (spec.Normalize > 0)
        {
            var norm = spec.Normalize == 1 ? weights.sum(-1, keepdim: true)
                : weights.abs().pow(spec.Normalize).sum(-1, keepdim: true).pow(1 / spec.Normalize);
            weights = weights.div(norm.add(spec.NormalizeEpsilon).clamp_min(spec.NormalizeFloor));
        }
        if (spec.Scaling != 1)
            weights = weights.mul(spec.Scaling);
        return (chosen.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope());
    }

    private static Tensor KeepGroups(RouterSpec spec, Tensor choice)
    {
        var (tokens, experts) = (choice.shape[0], choice.shape[1]);
        var groups = choice.view(tokens, spec.Groups, experts / spec.Groups);
        var best = spec.GroupScoreIsTop2 ? groups.topk(2, -1).values.sum(-1) : groups.amax([-1]);
        var kept = Mark(best, best.topk(spec.TopGroups, -1).indexes);
        return groups.masked_fill(kept.unsqueeze(-1).logical_not(), spec.MaskedScore).view(tokens, experts);
    }

    /// <summary>True at the given columns.</summary>
    private static Tensor Mark(Tensor like, Tensor columns) =>
        zeros_like(like).scatter_(1, columns, ones(columns.shape, like.dtype, like.device)).gt(0);

    /// <summary>phimoe's router, as it is in evaluation.</summary>
    private static ((Tensor Index, Tensor Weight) First, (Tensor Index, Tensor Weight) Second) SparseMixer(Tensor logits, double jitter)
    {
        (Tensor, Tensor) Best(Tensor left)
        {
            var index = left.argmax(-1, keepdim: true);
            var top = left.gather(-1, index);
            var far = top.sub(logits).div(logits.abs().maximum(top)).gt(2 * jitter);
            return (index, left.masked_fill(far, double.NegativeInfinity).softmax(-1).gather(-1, index));
        }
        var first = Best(logits);
        return (first, Best(logits.masked_fill(Mark(logits, first.Item1), double.NegativeInfinity)));
    }
}
