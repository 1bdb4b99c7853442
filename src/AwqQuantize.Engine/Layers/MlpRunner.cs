using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>A feed-forward network, as its <see cref="MlpSpec"/> says.</summary>
internal sealed class MlpRunner(MlpSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    public override (string Site, string Module)? Last => (spec.HiddenSite, spec.Down);

    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        Observe(observer, spec.InputSite, x);
        Tensor hidden;
        using (var inner = NewDisposeScope())
        {
            if (!spec.IsGated)
                hidden = Activation.Apply(spec.Activation, Weights, Linear(spec.Up, x));
            else if (spec.Gate is not null)
                hidden = Activation.Gated(spec.Activation, Weights, Scaled(Linear(spec.Gate, x)), Linear(spec.Up, x));
            else
            {
                var both = Linear(spec.Fused!, x);
                var (gate, up) = (both.narrow(-1, spec.UpFirst ? spec.Width : 0, spec.Width), both.narrow(-1, spec.UpFirst ? 0 : spec.Width, spec.Width));
                hidden = Activation.Gated(spec.Activation, Weights, Scaled(gate.contiguous()), up);
            }
            hidden.MoveToOuterDisposeScope();
        }
        Observe(observer, spec.HiddenSite, hidden);
        return Linear(spec.Down, hidden).MoveToOuterDisposeScope();
    }

    private Tensor Scaled(Tensor gate) => spec.GateMultiplier == 1 ? gate : gate.mul(spec.GateMultiplier);
}
