using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>A selective state space, as its <see cref="MambaSpec"/> says.</summary>
internal sealed class MambaRunner(MambaSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    /// <summary>Positions that are computed as one matrix (section 6 of arXiv 2405.21060).</summary>
    private const int Chunk = 64;

    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        Observe(observer, spec.InputSite, x);
        Tensor hidden;
        using (var inner = NewDisposeScope())
        {
            var (batch, length) = (x.shape[0], x.shape[1]);
            var projected = Project(x);
            var gate = projected.narrow(-1, 0, spec.Width);
            var mixed = nn.functional.silu(Convolve(spec.Convolution, projected.narrow(-1, spec.Width, spec.ConvolutionWidth)), inplace: true);
            var step = nn.functional.softplus(projected.narrow(-1, spec.Width + spec.ConvolutionWidth, spec.Heads).add(Weights[spec.StepBias]))
                .clamp(spec.MinStep, spec.MaxStep);
            var states = spec.Groups * spec.StateSize;
            Tensor Shared(long first) => mixed.narrow(-1, first, states).view(batch, length, spec.Groups, spec.StateSize)
                .repeat_interleave(spec.Heads / spec.Groups, 2).transpose(1, 2);
            var values = mixed.narrow(-1, 0, spec.Width).view(batch, length, spec.Heads, spec.HeadDim);
            var output = Scan(values.mul(step.unsqueeze(-1)).transpose(1, 2), Shared(spec.Width), Shared(spec.Width + states),
                step.mul(Weights[spec.LogRate].exp().neg()).transpose(1, 2)).transpose(1, 2);
            output = output.add(values.mul(Weights[spec.Skip].unsqueeze(-1)));
            hidden = Gate(output.reshape(batch, length, spec.Width), nn.functional.silu(gate)).MoveToOuterDisposeScope();
        }
        Observe(observer, spec.HiddenSite, hidden);
        return Linear(spec.Output, hidden).MoveToOuterDisposeScope();
    }

    /// <summary>[gate | x, B, C | time steps].</summary>
    private Tensor Project(Tensor x)
    {
        var projected = Linear(spec.Input, x);
        if (spec.Multipliers is not { } factors)
            return projected;
        var states = spec.Groups * spec.StateSize;
        var all = cat([.. new[] { (spec.Width, factors.Gate), (spec.Width, factors.X), (states, factors.B), (states, factors.C), (spec.Heads, factors.Step) }
            .Select(part => full(part.Item1, part.Item2, dtype: x.dtype, device: x.device))]);
        return projected.mul_(all);
    }

    /// <summary>The gated output, normalised where there is a norm; the output may be overwritten.</summary>
    private Tensor Gate(Tensor output, Tensor gate)
    {
        if (spec.OutputStateNorm is not { } norm)
            return output.mul_(gate);
        return spec.NormBeforeGate ? Normalise(norm, output).mul_(gate) : Normalise(norm, output.mul_(gate));
    }

    private Tensor Normalise(NormSpec norm, Tensor x)
    {
        var parts = x.view(x.shape[0], x.shape[1], spec.NormGroups, spec.Width / spec.NormGroups);
        var bare = norm with { HasWeight = false, HasBias = false };
        return Normalization.Apply(bare, null, null, parts).flatten(-2).mul_(Weights[$"{norm.Module}.weight"]);
    }

    /// <summary>
    /// state ← e^a·state + b·xᵀ, output cᵀ·state, for every head: x [batch, heads, length, head dim], b and c
    /// [batch, heads, length, state], a [batch, heads, length]. The result has x's shape.
    /// </summary>
    internal static Tensor Scan(Tensor x, Tensor b, Tensor c, Tensor a)
    {
        var (batch, heads, length, dim, size) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3], b.shape[3]);
        var state = zeros([batch * heads, size, dim], x.dtype, x.device);
        var outputs = new List<Tensor>();
        var (xs, bs, cs, decays) = (x.reshape(batch * heads, length, dim), b.reshape(batch * heads, length, size), c.reshape(batch * heads, length, size), a.reshape(batch * heads, length));
        for (var first = 0L; first < length; first += Chunk)
        {
            using var scope = NewDisposeScope();
            var count = Math.Min(Chunk, length - first);
            var (xc, bc, cc) = (xs.narrow(1, first, count), bs.narrow(1, first, count), cs.narrow(1, first, count));
            var decay = decays.narrow(1, first, count).cumsum(-1);
            // The exponent is masked before exp: above the diagonal it could overflow.
            var between = decay.unsqueeze(-1).sub(decay.unsqueeze(-2)).tril().exp_().tril();
            var within = cc.bmm(bc.transpose(1, 2)).mul_(between);
            outputs.Add(cc.mul(decay.exp().unsqueeze(-1)).bmm(state).add_(within.bmm(xc)).MoveToOuterDisposeScope());
            var last = decay.narrow(1, count - 1, 1);
            state = state.mul(last.exp().unsqueeze(-1)).add_(bc.mul(last.sub(decay).exp_().unsqueeze(-1)).transpose(1, 2).bmm(xc)).MoveToOuterDisposeScope();
        }
        return cat(outputs, 1).view(batch, heads, length, dim);
    }
}
