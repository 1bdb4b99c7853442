using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Softmax attention, as its <see cref="AttentionSpec"/> says.</summary>
internal sealed class AttentionRunner(AttentionSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    private readonly AttentionBias bias = new(spec.Scale, spec.Window, spec.Chunk, spec.SoftCap, spec.Alibi);

    public override (string Site, string Module)? Last => (spec.HiddenSite, spec.Output);

    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        Observe(observer, spec.InputSite, x);
        Tensor mixed;
        using (var inner = NewDisposeScope())
        {
            var (q, k, v, gate) = Project(x);
            q = Prepare(q, spec.QueryNorm);
            k = Prepare(k, spec.KeyNorm);
            if (spec.Clip > 0)
                v = v.clamp(-spec.Clip, spec.Clip);
            if (spec.Temperature is { } temperature)
            {
                var position = arange(x.shape[1], ScalarType.Float32, x.device);
                q = q.mul(position.add_(temperature.Offset).div_(temperature.Period).floor_().log1p_().mul_(temperature.Strength).add_(1).view(1, -1, 1, 1));
            }
            mixed = AttentionCore.Run(q.transpose(1, 2), Repeat(k), Repeat(v), bias, spec.Sinks is null ? null : Weights[spec.Sinks], Tables, Weights.ForwardType);
            if (gate is not null)
                mixed = mixed.mul(gate.sigmoid()); // the mixed values may be what their gradient is computed from
            mixed.MoveToOuterDisposeScope();
        }
        Observe(observer, spec.HiddenSite, mixed);
        return Linear(spec.Output, mixed).MoveToOuterDisposeScope();
    }

    /// <summary>Queries, keys and values, each [batch, length, heads, head_dim], and the gate [batch, length, heads · head_dim].</summary>
    private (Tensor Q, Tensor K, Tensor V, Tensor? Gate) Project(Tensor x)
    {
        var (batch, length) = (x.shape[0], x.shape[1]);
        var gate = spec.Gate is null ? null : Linear(spec.Gate, x);
        if (spec.Fused is null)
        {
            var q = Linear(spec.Query, x);
            if (spec.GatedQuery)
            {
                var both = q.view(batch, length, spec.Heads, 2 * spec.HeadDim);
                gate = both.narrow(-1, spec.HeadDim, spec.HeadDim).reshape(batch, length, -1);
                q = both.narrow(-1, 0, spec.HeadDim);
            }
            q = q.reshape(batch, length, spec.Heads, spec.HeadDim);
            if (spec.KeyValue is not null)
            {
                var kv = Linear(spec.KeyValue, x).view(batch, length, spec.KvHeads, 2 * spec.HeadDim);
                return (q, kv.narrow(-1, 0, spec.HeadDim), kv.narrow(-1, spec.HeadDim, spec.HeadDim), gate);
            }
            return (q, Linear(spec.Key, x).view(batch, length, spec.KvHeads, spec.HeadDim),
                Linear(spec.Value, x).view(batch, length, spec.KvHeads, spec.HeadDim), gate);
        }
        var (queries, values) = (spec.Heads / spec.FusedGroups, spec.KvHeads / spec.FusedGroups);
        var groups = Linear(spec.Fused, x).view(batch, length, spec.FusedGroups, queries + 2 * values, spec.HeadDim);
        var valuesFirst = spec.FusedOrder == "qvk";
        Tensor Heads(long first, long count) => groups.narrow(3, first, count).reshape(batch, length, -1, spec.HeadDim);
        return (Heads(0, queries), Heads(queries + (valuesFirst ? values : 0), values), Heads(queries + (valuesFirst ? 0 : values), values), gate);
    }

    /// <summary>Norm, clamp and rotary embedding of queries or keys.</summary>
    private Tensor Prepare(Tensor heads, HeadNormSpec? norm)
    {
        if (norm is { AfterRotary: false })
            heads = Normalise(heads, norm);
        if (spec.Clip > 0)
            heads = heads.clamp(-spec.Clip, spec.Clip);
        if (spec.Rotary is { } rotary)
        {
            var (cos, sin) = Tables.Rotary(rotary, heads.shape[1]);
            heads = RotaryEmbedding.Apply(heads, cos, sin, rotary.Interleaved);
        }
        return norm is { AfterRotary: true } ? Normalise(heads, norm) : heads;
    }

    private Tensor Normalise(Tensor heads, HeadNormSpec spec)
    {
        if (spec.Span == HeadNormSpan.All)
            return Normalization.Apply(spec.Norm, name => Weights[name], heads.flatten(2)).view(heads.shape);
        if (spec.Span == HeadNormSpan.Head || !spec.Norm.Module.Contains("{h}"))
            return Normalization.Apply(spec.Norm, name => Weights[name], heads);
        Tensor Stack(string name) => stack(Enumerable.Range(0, (int)heads.shape[2]).Select(h => Weights[name.Replace("{h}", $"{h}")]).ToList());
        return Normalization.Apply(spec.Norm, Stack, heads);
    }

    /// <summary>[batch, length, kv heads, d] → [batch, heads, length, d].</summary>
    private Tensor Repeat(Tensor heads)
    {
        heads = heads.transpose(1, 2);
        if (spec.Heads == spec.KvHeads)
            return heads;
        var (batch, length, d) = (heads.shape[0], heads.shape[2], heads.shape[3]);
        var times = spec.Heads / spec.KvHeads;
        return (spec.TiledKv
            ? heads.unsqueeze(1).expand(batch, times, spec.KvHeads, length, d)
            : heads.unsqueeze(2).expand(batch, spec.KvHeads, times, length, d)).reshape(batch, spec.Heads, length, d);
    }
}
