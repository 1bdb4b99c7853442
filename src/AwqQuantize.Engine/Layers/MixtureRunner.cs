using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>A mixture of experts, as its <see cref="MixtureSpec"/> says.</summary>
internal sealed class MixtureRunner(MixtureSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    private readonly MlpRunner? shared = spec.Shared is null ? null : new MlpRunner(spec.Shared, weights, tables);

    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        var tokens = x.reshape(-1, x.shape[^1]);
        Observe(observer, spec.InputSite, tokens);
        var given = tokens;
        if (spec.ToLatent is not null)
            Observe(observer, spec.ExpertSite, given = Linear(spec.ToLatent, tokens));
        var (experts, routing) = Route(tokens);
        observer?.OnRouting(spec.ExpertSite, experts, routing);
        var output = shared is null ? zeros_like(tokens) : Shared(tokens, observer);
        if (spec.ToLatent is null)
            Routed(tokens, experts, routing, output, observer);
        else
        {
            var sum = zeros_like(given);
            Routed(given, experts, routing, sum, observer);
            Observe(observer, spec.LatentOutputSite, sum);
            output.add_(Linear(spec.FromLatent, sum));
        }
        if (spec.OutputBias is not null)
            output.add_(Weights[spec.OutputBias]);
        return output.view(x.shape).MoveToOuterDisposeScope();
    }

    /// <summary>The output of one expert for tokens [n, hidden] that are sent to it.</summary>
    public Tensor RunExpert(int expert, Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        var own = spec.Experts;
        Observe(observer, spec.ExpertInputSite(expert), x);
        var up = Linear(own.Module(expert, own.UpName), x);
        var hidden = own.GateName is null ? Activation.Apply(own.Activation, Weights, up)
            : Activation.Gated(own.Activation, Weights, Linear(own.Module(expert, own.GateName), x), up);
        Observe(observer, spec.ExpertHiddenSite(expert), hidden);
        return Linear(own.Module(expert, own.DownName), hidden).MoveToOuterDisposeScope();
    }

    private (Tensor Experts, Tensor Weights) Route(Tensor tokens)
    {
        using var scope = NewDisposeScope();
        var (experts, routing) = Router.Choose(spec.Router, spec.Experts.PerToken, ExactLinear(spec.Router.Module, tokens),
            spec.Router.Correction is null ? null : Weights[spec.Router.Correction]);
        return (experts.MoveToOuterDisposeScope(), routing.MoveToOuterDisposeScope());
    }

    private Tensor Shared(Tensor tokens, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        // The input has been shown; only the shared expert's hidden activation is news.
        var output = shared!.Run(tokens, observer is null ? null : new SeenSite(observer, spec.InputSite));
        if (spec.SharedGate is not null)
            output.mul_(Linear(spec.SharedGate, tokens).sigmoid_());
        return output.MoveToOuterDisposeScope();
    }

    /// <summary>Adds every expert's weighted output for the tokens that chose it.</summary>
    private void Routed(Tensor tokens, Tensor experts, Tensor routing, Tensor output, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        var shares = routing.flatten();
        foreach (var (expert, rows) in ExpertRows.Of(experts, spec.Experts.Count))
        {
            using var inner = NewDisposeScope();
            var own = rows.floor_divide(experts.shape[1]);
            var share = shares.index_select(0, rows).unsqueeze(1);
            var input = tokens.index_select(0, own);
            if (spec.Router.OnInput)
                input.mul_(share);
            var result = RunExpert(expert, input, observer);
            if (!spec.Router.OnInput)
                result.mul_(share);
            output.index_add_(0, own, result, 1);
        }
    }
}
