using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>What bends plain causal attention.</summary>
/// <param name="Scale">Factor of the scores.</param>
/// <param name="Window">Positions that a query sees, its own included; 0 for all.</param>
/// <param name="Chunk">Length of aligned chunks within which positions see each other; 0 for all.</param>
/// <param name="SoftCap">Cap of the scores; 0 for none.</param>
/// <param name="Alibi">Linear biases, or null.</param>
internal sealed record AttentionBias(double Scale, int Window = 0, int Chunk = 0, double SoftCap = 0, AlibiSpec? Alibi = null);

/// <summary>softmax(q·kᵀ)·v, causal.</summary>
internal static class AttentionCore
{
    /// <summary>Most bytes of scores at once on the path that writes them out.</summary>
    private const long ScoreBytes = 64L << 20;

    /// <summary>Mixes the values.</summary>
    /// <param name="q">[batch, heads, length, d]; overwritten.</param>
    /// <param name="k">[batch, heads, length, d].</param>
    /// <param name="v">[batch, heads, length, dv].</param>
    /// <param name="sinks">[heads]: one more logit per head, or null.</param>
    /// <param name="type">What products are made in, where one operation does it all; the result is float32.</param>
    /// <returns>[batch, length, heads · dv], contiguous.</returns>
    public static Tensor Run(Tensor q, Tensor k, Tensor v, AttentionBias bias, Tensor? sinks, PositionTables tables, ScalarType type = ScalarType.Float32)
    {
        using var scope = NewDisposeScope();
        var (batch, heads, length, dv) = (q.shape[0], q.shape[1], q.shape[2], v.shape[3]);
        var mixed = bias.SoftCap > 0 || bias.Alibi is not null || sinks is not null
            ? Written(q, k, v, bias, sinks, tables) : Fused(q, k, v, bias, tables, type);
        return mixed.transpose(1, 2).reshape(batch, length, heads * dv).MoveToOuterDisposeScope();
    }

    private static Tensor Fused(Tensor q, Tensor k, Tensor v, AttentionBias bias, PositionTables tables, ScalarType type)
    {
        var (length, d, dv) = (q.shape[2], q.shape[3], v.shape[3]);
        // The function's own scale is d^-0.5, and its fast path wants values as wide as keys.
        var correction = bias.Scale * Math.Sqrt(d);
        if (Math.Abs(correction - 1) > 1e-12)
            q = q.mul(correction);
        if (dv < d)
            v = nn.functional.pad(v, [0, d - dv]);
        var half = type != ScalarType.Float32;
        if (half)
            (q, k, v) = (q.to(type), k.to(type), v.to(type));
        var masked = bias.Window > 0 && bias.Window < length || bias.Chunk > 0 && bias.Chunk < length;
        var mixed = masked
            ? nn.functional.scaled_dot_product_attention(q, k, v, half ? tables.Mask(bias.Window, bias.Chunk, length).to(type) : tables.Mask(bias.Window, bias.Chunk, length))
            : nn.functional.scaled_dot_product_attention(q, k, v, is_casual: true);
        if (half)
            mixed = mixed.to(ScalarType.Float32);
        return dv < d ? mixed.narrow(-1, 0, dv) : mixed;
    }

    private static Tensor Written(Tensor q, Tensor k, Tensor v, AttentionBias bias, Tensor? sinks, PositionTables tables)
    {
        var (batch, heads, length) = (q.shape[0], q.shape[1], q.shape[2]);
        var rows = Math.Clamp(ScoreBytes / (batch * heads * length * 4), 1, length);
        var mask = tables.Mask(bias.Window, bias.Chunk, length);
        var positions = bias.Alibi is { } alibi ? AlibiBias(alibi, length, q.device) : null;
        var parts = new List<Tensor>();
        var (queries, keys, values) = (q.reshape(batch * heads, length, -1), k.reshape(batch * heads, length, -1), v.reshape(batch * heads, length, -1));
        for (var first = 0L; first < length; first += rows)
        {
            using var chunk = NewDisposeScope();
            var count = Math.Min(rows, length - first);
            var seen = first + count;
            var scores = queries.narrow(1, first, count).bmm(keys.narrow(1, 0, seen).transpose(1, 2)).view(batch, heads, count, seen);
            if (bias.Alibi is { Scaled: true })
                scores.add_(positions!.narrow(-1, 0, seen));
            scores.mul_(bias.Scale);
            if (bias.SoftCap > 0)
                scores = scores.div_(bias.SoftCap).tanh_().mul(bias.SoftCap);
            if (bias.Alibi is { Scaled: false })
                scores.add_(positions!.narrow(-1, 0, seen));
            scores.add_(mask.narrow(0, first, count).narrow(1, 0, seen));
            if (sinks is not null)
                scores = cat([scores, sinks.view(1, heads, 1, 1).expand(batch, heads, count, 1)], -1);
            scores = scores.softmax(-1);
            if (sinks is not null)
                scores = scores.narrow(-1, 0, seen);
            parts.Add(scores.reshape(batch * heads, count, seen).bmm(values.narrow(1, 0, seen)).view(batch, heads, count, -1).MoveToOuterDisposeScope());
        }
        return parts.Count == 1 ? parts[0] : cat(parts, 2);
    }

    /// <summary>[heads, 1, length].</summary>
    private static Tensor AlibiBias(AlibiSpec alibi, long length, Device device)
    {
        var slopes = tensor(alibi.Slopes).view(-1, 1, 1);
        var positions = arange(length, ScalarType.Float32);
        var product = alibi.Bfloat16
            ? slopes.to(ScalarType.BFloat16).to(ScalarType.Float32).mul(positions).to(ScalarType.BFloat16).to(ScalarType.Float32)
            : slopes.mul(positions);
        return product.to(device);
    }
}
