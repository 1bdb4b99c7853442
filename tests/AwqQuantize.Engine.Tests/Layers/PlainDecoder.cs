using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>
/// A decoder written down once more from the families' published formulae, without the engine: everything at once, nothing chunked,
/// nothing shared. Tensors have Llama's names.
/// </summary>
/// <param name="find">A tensor by its name, or null where the model has none of it.</param>
internal sealed class PlainDecoder(Func<string, Tensor?> find)
{
    public required int Layers { get; init; }

    public required int Heads { get; init; }

    public required int KvHeads { get; init; }

    public required int HeadDim { get; init; }

    public required double Epsilon { get; init; }

    /// <summary>Mean and variance in place of the root mean square.</summary>
    public bool LayerNorm { get; init; }

    /// <summary>Linear biases with these slopes in place of rotary embedding.</summary>
    public float[]? Slopes { get; init; }

    /// <summary>Angle per position of each pair.</summary>
    public double[]? Frequencies { get; init; }

    /// <summary>Factor of cos and sin.</summary>
    public double RotaryFactor { get; init; } = 1;

    public double EmbeddingFactor { get; init; } = 1;

    public double BranchFactor { get; init; } = 1;

    public double LogitFactor { get; init; } = 1;

    /// <summary>Channels of a head without position; latent attention where it is not 0.</summary>
    public int NopeDim { get; init; }

    public int RopeDim { get; init; }

    /// <summary>Width of the kv latent.</summary>
    public int Latent { get; init; }

    public Tensor Logits(Tensor ids)
    {
        var h = find("model.embed_tokens.weight")!.index_select(0, ids.flatten()).view(ids.shape[0], ids.shape[1], -1).mul(EmbeddingFactor);
        for (var i = 0; i < Layers; i++)
        {
            var p = $"model.layers.{i}.";
            var x = Norm(h, p + "input_layernorm");
            h = h.add(Linear(NopeDim > 0 ? LatentHeads(x, p + "self_attn.") : PlainHeads(x, p + "self_attn."), p + "self_attn.o_proj"), BranchFactor);
            x = Norm(h, p + "post_attention_layernorm");
            var gate = Linear(x, p + "mlp.gate_proj");
            h = h.add(Linear(gate.div(gate.neg().exp().add(1)).mul(Linear(x, p + "mlp.up_proj")), p + "mlp.down_proj"), BranchFactor);
        }
        return Linear(Norm(h, "model.norm"), find("lm_head.weight") is null ? "model.embed_tokens" : "lm_head").mul(LogitFactor);
    }

    private Tensor PlainHeads(Tensor x, string p)
    {
        var (q, k, v) = (Split(Linear(x, p + "q_proj"), Heads), Split(Linear(x, p + "k_proj"), KvHeads), Split(Linear(x, p + "v_proj"), KvHeads));
        return Mix([.. q.Select(Rotate)], [.. k.Select(Rotate)], v, Math.Pow(HeadDim, -0.5));
    }

    /// <summary>arXiv 2405.04434, section 2.1, with a common rotary key and pairs of the two halves.</summary>
    private Tensor LatentHeads(Tensor x, string p)
    {
        var q = Split(Linear(Norm(Linear(x, p + "q_a_proj"), p + "q_a_layernorm", 1e-6), p + "q_b_proj"), Heads);
        var both = Linear(x, p + "kv_a_proj_with_mqa");
        var rotary = Rotate(both.narrow(-1, Latent, RopeDim));
        var kv = Split(Linear(Norm(both.narrow(-1, 0, Latent), p + "kv_a_layernorm", 1e-6), p + "kv_b_proj"), Heads);
        return Mix([.. q.Select(h => cat([h.narrow(-1, 0, NopeDim), Rotate(h.narrow(-1, NopeDim, RopeDim))], -1))],
            [.. kv.Select(h => cat([h.narrow(-1, 0, NopeDim), rotary], -1))],
            [.. kv.Select(h => h.narrow(-1, NopeDim, h.shape[^1] - NopeDim))], Math.Pow(NopeDim + RopeDim, -0.5));
    }

    private Tensor Mix(Tensor[] q, Tensor[] k, Tensor[] v, double scale)
    {
        var length = q[0].shape[1];
        var future = full([length, length], double.NegativeInfinity, dtype: ScalarType.Float32).triu(1);
        return cat([.. Enumerable.Range(0, Heads).Select(h =>
        {
            var kv = h * KvHeads / Heads;
            var scores = q[h].matmul(k[kv].transpose(1, 2)).mul(scale).add(future);
            if (Slopes is not null)
                scores = scores.add(arange(length).mul(Slopes[h]));
            return scores.softmax(-1).matmul(v[kv]);
        })], -1);
    }

    private Tensor Rotate(Tensor head)
    {
        if (Slopes is not null)
            return head;
        var half = head.shape[^1] / 2;
        var frequencies = Frequencies ?? [.. Enumerable.Range(0, (int)half).Select(j => Math.Pow(10000, -(double)j / half))];
        var angles = arange(head.shape[1]).unsqueeze(1).mul(tensor(frequencies.Select(f => (float)f).ToArray()));
        var (cos, sin) = (angles.cos().mul(RotaryFactor), angles.sin().mul(RotaryFactor));
        var (a, b) = (head.narrow(-1, 0, half), head.narrow(-1, half, half));
        return cat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], -1);
    }

    private static Tensor[] Split(Tensor x, int heads) => x.view(x.shape[0], x.shape[1], heads, -1).unbind(2);

    private Tensor Linear(Tensor x, string module)
    {
        var y = x.matmul(find(module + ".weight")!.t());
        return find(module + ".bias") is { } bias ? y.add(bias) : y;
    }

    private Tensor Norm(Tensor x, string module, double? epsilon = null)
    {
        if (LayerNorm)
            x = x.sub(x.mean([-1], keepdim: true));
        var y = x.div(x.square().mean([-1], keepdim: true).add(epsilon ?? Epsilon).sqrt()).mul(find(module + ".weight")!);
        return find(module + ".bias") is { } bias ? y.add(bias) : y;
    }
}
