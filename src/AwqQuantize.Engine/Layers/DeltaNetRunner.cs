using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Gated delta rule, as its <see cref="DeltaNetSpec"/> says.</summary>
internal sealed class DeltaNetRunner(DeltaNetSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    /// <summary>Positions whose updates are solved for together (section 3 of arXiv 2412.06464).</summary>
    private const int Chunk = 64;

    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        Observe(observer, spec.InputSite, x);
        Tensor hidden;
        using (var inner = NewDisposeScope())
        {
            var (batch, length) = (x.shape[0], x.shape[1]);
            var (mixed, z, b, a) = Project(x);
            mixed = nn.functional.silu(Convolve(spec.Convolution, mixed), inplace: true);
            var repeat = spec.ValueHeads / spec.KeyHeads;
            Tensor Heads(long first, int heads, int dim) => mixed.narrow(-1, first, heads * dim).view(batch, length, heads, dim);
            var q = Unit(Heads(0, spec.KeyHeads, spec.KeyDim)).mul_(Math.Pow(spec.KeyDim, -0.5)).repeat_interleave(repeat, 2);
            var k = Unit(Heads(spec.KeyWidth, spec.KeyHeads, spec.KeyDim)).repeat_interleave(repeat, 2);
            var v = Heads(2 * spec.KeyWidth, spec.ValueHeads, spec.ValueDim);
            var decay = nn.functional.softplus(a.add(Weights[spec.DecayBias])).mul_(Weights[spec.LogRate].exp().neg());
            var output = DeltaRule(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), decay.transpose(1, 2), b.sigmoid().transpose(1, 2));
            var normed = Normalization.Apply(spec.HeadNorm, name => Weights[name], output.transpose(1, 2));
            hidden = normed.mul_(nn.functional.silu(z)).reshape(batch, length, spec.ValueWidth).MoveToOuterDisposeScope();
        }
        Observe(observer, spec.HiddenSite, hidden);
        return Linear(spec.Output, hidden).MoveToOuterDisposeScope();
    }

    /// <summary>[queries | keys | values], gates [batch, length, heads, dim], write strengths and decays [batch, length, heads].</summary>
    private (Tensor Mixed, Tensor Z, Tensor B, Tensor A) Project(Tensor x)
    {
        var (batch, length) = (x.shape[0], x.shape[1]);
        if (spec.FusedQkvz is null)
        {
            return (Linear(spec.Qkv, x), Linear(spec.OutputGate, x).view(batch, length, spec.ValueHeads, spec.ValueDim),
                Linear(spec.WriteStrength, x), Linear(spec.Decay, x));
        }
        var repeat = spec.ValueHeads / spec.KeyHeads;
        var values = repeat * spec.ValueDim;
        var groups = Linear(spec.FusedQkvz, x).view(batch, length, spec.KeyHeads, 2 * spec.KeyDim + 2 * values);
        Tensor Part(long first, long count) => groups.narrow(-1, first, count).reshape(batch, length, -1);
        var mixed = cat([Part(0, spec.KeyDim), Part(spec.KeyDim, spec.KeyDim), Part(2 * spec.KeyDim, values)], -1);
        var ba = Linear(spec.FusedBa!, x).view(batch, length, spec.KeyHeads, 2 * repeat);
        return (mixed, Part(2 * spec.KeyDim + values, values).view(batch, length, spec.ValueHeads, spec.ValueDim),
            ba.narrow(-1, 0, repeat).reshape(batch, length, -1), ba.narrow(-1, repeat, repeat).reshape(batch, length, -1));
    }

    private static Tensor Unit(Tensor heads) => heads.mul(heads.square().sum(-1, keepdim: true).add_(1e-6).rsqrt_());

    /// <summary>
    /// state ← e^g·state + β·k(v − kᵀ·e^g·state)ᵀ, output qᵀ·state, for every head. All arguments [batch, heads, length, …];
    /// the result is [batch, heads, length, value dim].
    /// </summary>
    internal static Tensor DeltaRule(Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta)
    {
        var (batch, heads, length, dk, dv) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3], v.shape[3]);
        var chunks = (length + Chunk - 1) / Chunk;
        var missing = chunks * Chunk - length;
        // Padding has k = 0 and β = 0: it changes no state.
        Tensor Split(Tensor t) => nn.functional.pad(t.unsqueeze(-1).flatten(3), [0, 0, 0, missing]).reshape(batch * heads, chunks, Chunk, -1);
        var (qs, ks, vs, bs) = (Split(q), Split(k), Split(v), Split(beta));
        var decay = Split(g).squeeze(-1).cumsum(-1);
        var state = zeros([batch * heads, dk, dv], q.dtype, q.device);
        var outputs = new List<Tensor>();
        for (var c = 0L; c < chunks; c++)
        {
            using var scope = NewDisposeScope();
            var (qc, kc, vc, bc, dc) = (qs.select(1, c), ks.select(1, c), vs.select(1, c), bs.select(1, c), decay.select(1, c));
            // The exponent is masked before exp: above the diagonal it could overflow.
            var between = dc.unsqueeze(-1).sub(dc.unsqueeze(-2)).tril().exp_().tril();
            var kb = kc.mul(bc);
            // Each write depends on those before it in the chunk: (I + tril(βk·kᵀ, -1))⁻¹ by forward substitution.
            var solve = Inverse(kb.bmm(kc.transpose(1, 2)).mul_(between).tril(-1).neg_());
            var reach = dc.exp().unsqueeze(-1);
            var writes = solve.bmm(vc.mul(bc)).sub_(solve.bmm(kb.mul(reach)).bmm(state));
            var within = qc.bmm(kc.transpose(1, 2)).mul_(between);
            outputs.Add(qc.mul(reach).bmm(state).add_(within.bmm(writes)).MoveToOuterDisposeScope());
            var last = dc.narrow(1, Chunk - 1, 1);
            state = state.mul(last.exp().unsqueeze(-1)).add_(kc.mul(last.sub(dc).exp_().unsqueeze(-1)).transpose(1, 2).bmm(writes)).MoveToOuterDisposeScope();
        }
        return cat(outputs, 1).narrow(1, 0, length).reshape(batch, heads, length, dv);
    }

    /// <summary>(I - N)⁻¹ for strictly lower triangular N, [n, size, size], row by row from those before.</summary>
    private static Tensor Inverse(Tensor strict)
    {
        using var scope = NewDisposeScope();
        var size = strict.shape[1];
        var rows = strict.narrow(1, 0, 1);
        for (var row = 1L; row < size; row++)
        {
            using var step = NewDisposeScope();
            var (whole, own) = (strict.narrow(1, row, 1), strict.narrow(1, row, 1).narrow(2, 0, row));
            var sum = cat([own.add(own.bmm(rows.narrow(2, 0, row))), whole.narrow(2, row, size - row)], 2);
            rows = cat([rows, sum], 1).MoveToOuterDisposeScope();
        }
        return rows.add(eye(size, dtype: strict.dtype, device: strict.device)).MoveToOuterDisposeScope();
    }
}
