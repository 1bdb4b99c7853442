using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Latent attention, as its <see cref="LatentAttentionSpec"/> says.</summary>
internal sealed class LatentAttentionRunner(LatentAttentionSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    private readonly AttentionBias bias = new(spec.Scale);

    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        Observe(observer, spec.InputSite, x);
        Tensor mixed;
        using (var inner = NewDisposeScope())
        {
            var (batch, length) = (x.shape[0], x.shape[1]);
            var q = Queries(x, observer).view(batch, length, spec.Heads, spec.NopeDim + spec.RopeDim);
            var latent = Linear(spec.KvLatent, x);
            var compressed = Normalization.Apply(spec.KvLatentNorm, name => Weights[name], latent.narrow(-1, 0, spec.KvRank));
            Observe(observer, spec.KvSite, compressed);
            var expanded = Linear(spec.Kv, compressed).view(batch, length, spec.Heads, spec.NopeDim + spec.ValueDim);
            var shared = Rotate(latent.narrow(-1, spec.KvRank, spec.RopeDim).unsqueeze(2)).expand(batch, length, spec.Heads, spec.RopeDim);
            var k = cat([expanded.narrow(-1, 0, spec.NopeDim), shared], -1);
            q = cat([q.narrow(-1, 0, spec.NopeDim), Rotate(q.narrow(-1, spec.NopeDim, spec.RopeDim))], -1);
            var v = expanded.narrow(-1, spec.NopeDim, spec.ValueDim);
            mixed = AttentionCore.Run(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), bias, null, Tables, Weights.ForwardType).MoveToOuterDisposeScope();
        }
        Observe(observer, spec.HiddenSite, mixed);
        return Linear(spec.Output, mixed).MoveToOuterDisposeScope();
    }

    private Tensor Queries(Tensor x, IActivationObserver? observer)
    {
        if (spec.QueryRank == 0)
            return Linear(spec.Query, x);
        var latent = Linear(spec.QueryLatent, x);
        if (spec.QueryLatentNorm is not null)
            latent = Normalization.Apply(spec.QueryLatentNorm, name => Weights[name], latent);
        Observe(observer, spec.QuerySite, latent);
        return Linear(spec.Query, latent);
    }

    private Tensor Rotate(Tensor heads)
    {
        if (spec.Rotary is not { } rotary)
            return heads;
        var (cos, sin) = Tables.Rotary(rotary, heads.shape[1]);
        return RotaryEmbedding.Apply(heads, cos, sin, rotary.Interleaved);
    }
}
