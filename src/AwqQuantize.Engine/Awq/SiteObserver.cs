using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Gathers the statistics of one site, then ends the forward: what lies behind it would be computed for nothing. Where a mixture
/// of experts reads the site, the routing is kept as well. Inputs can be kept: to hand them out to experts, or to finish a block from
/// those of its last site.
/// </summary>
internal sealed class SiteObserver(string site, InputStatistics? statistics, bool keepInputs, bool withRouting) : IActivationObserver
{
    /// <summary>Ends a forward early. Control flow: it never leaves <see cref="Run"/>.</summary>
    private sealed class SiteReached : Exception;

    private bool seen;

    /// <summary>Inputs of all tokens, if they are kept.</summary>
    public List<Tensor> Inputs { get; } = [];

    /// <summary>Chosen experts, [tokens, k] each.</summary>
    public List<Tensor> Routing { get; } = [];

    /// <summary>Runs a forward until the site has been seen; unless it always is, it may be missed.</summary>
    /// <exception cref="InvalidOperationException">It never was.</exception>
    public void Run(Action<IActivationObserver> forward, bool always = true)
    {
        seen = false;
        try
        {
            using var scope = NewDisposeScope();
            forward(this);
        }
        catch (SiteReached)
        {
            return;
        }
        if (!seen && always)
            throw new InvalidOperationException($"The layer has no input '{site}'.");
    }

    public bool Wants(string name) => name == site;

    public void OnInput(string name, Tensor x)
    {
        if (name != site)
            return;
        statistics?.Add(x);
        seen = true;
        if (keepInputs)
            Inputs.Add(x.clone().DetachFromDisposeScope());
        if (!withRouting)
            throw new SiteReached();
    }

    public void OnRouting(string name, Tensor experts, Tensor weights)
    {
        if (!withRouting)
            return;
        Routing.Add(experts.cpu().contiguous().clone().DetachFromDisposeScope());
        throw new SiteReached();
    }

    public void OnBlock(int block, Tensor entrance, Tensor output)
    {
    }

    public void DisposeKept()
    {
        foreach (var tensor in Inputs.Concat(Routing))
            tensor.Dispose();
        Inputs.Clear();
        Routing.Clear();
    }
}
