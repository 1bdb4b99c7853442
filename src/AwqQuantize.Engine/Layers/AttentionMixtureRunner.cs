using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>A mixture of attention heads, as its <see cref="AttentionMixtureSpec"/> says.</summary>
internal sealed class AttentionMixtureRunner(AttentionMixtureSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    private readonly AttentionBias bias = new(Math.Pow(spec.HeadDim, -0.5));

    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        var (batch, length, k) = (x.shape[0], x.shape[1], spec.PerToken);
        var tokens = x.reshape(-1, spec.Hidden);
        Observe(observer, spec.InputSite, tokens);
        var (experts, routing) = Router.Choose(spec.Router, k, ExactLinear(spec.Router.Module, tokens),
            spec.Router.Correction is null ? null : Weights[spec.Router.Correction]);
        observer?.OnRouting(spec.InputSite, experts, routing);
        var chosen = ExpertRows.Of(experts, spec.Count);

        var queries = empty([batch * length * k, spec.Width], x.dtype, x.device);
        foreach (var (expert, rows) in chosen)
        {
            using var inner = NewDisposeScope();
            var own = tokens.index_select(0, rows.floor_divide(k));
            Observe(observer, spec.InputSiteOf(expert), own);
            queries.index_copy_(0, rows, Linear(spec.Query(expert), own));
        }
        var both = Linear(spec.KeyValue, x);
        Tensor Heads(Tensor t, long sets) => t.reshape(batch, length, sets * spec.Heads, spec.HeadDim);
        // The i-th chosen expert's heads see the keys in the same order: heads are tiled, not repeated.
        var keys = Rotate(Heads(both.narrow(-1, 0, spec.Width), 1)).repeat(1, 1, k, 1);
        var values = Heads(both.narrow(-1, spec.Width, spec.Width), 1).repeat(1, 1, k, 1);
        var mixed = AttentionCore.Run(Rotate(Heads(queries, k)).transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), bias, null, Tables, Weights.ForwardType)
            .reshape(-1, spec.Width);

        var output = zeros_like(tokens);
        var shares = routing.flatten();
        foreach (var (expert, rows) in chosen)
        {
            using var inner = NewDisposeScope();
            var own = mixed.index_select(0, rows);
            Observe(observer, spec.HiddenSiteOf(expert), own);
            output.index_add_(0, rows.floor_divide(k), Linear(spec.Output(expert), own).mul_(shares.index_select(0, rows).unsqueeze(1)), 1);
        }
        if (spec.OutputBias is not null)
            output.add_(Weights[spec.OutputBias]);
        return output.view(x.shape).MoveToOuterDisposeScope();
    }

    private Tensor Rotate(Tensor heads)
    {
        if (spec.Rotary is not { } rotary)
            return heads;
        var (cos, sin) = Tables.Rotary(rotary, heads.shape[1]);
        return RotaryEmbedding.Apply(heads, cos, sin, rotary.Interleaved);
    }
}
