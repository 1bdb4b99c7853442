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
/// <param name="site">Name of the input.</param>
/// <param name="statistics">Receives all tokens; null where the inputs alone are wanted.</param>
/// <param name="keptTokens">Inputs are kept while they are no more tokens than this; there is room for as many from the first one on.</param>
/// <param name="withRouting">Whether the forward goes on until experts are chosen.</param>
internal sealed class SiteObserver(string site, InputStatistics? statistics, long keptTokens, bool withRouting) : IActivationObserver, IDisposable
{
    /// <summary>Ends a forward early. Control flow: it never leaves <see cref="Run"/>.</summary>
    private sealed class SiteReached : Exception;

    private bool seen;
    private long used;

    // One piece for all: copies of their own, between which forwards come and go, would leave holes in the C library's heap that add
    // up to more than what is kept.
    private Tensor? room;

    /// <summary>Roots of the weights that the tokens of the next forward have in the statistics; null for 1 each.</summary>
    public Tensor? Weights { get; set; }

    /// <summary>Inputs of the first tokens, as many as are kept, forward by forward.</summary>
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
        statistics?.Add(x, Weights);
        seen = true;
        Keep(x);
        if (!withRouting)
            throw new SiteReached();
    }

    private void Keep(Tensor x)
    {
        var count = x.shape[0];
        if (used + count > keptTokens)
        {
            used = keptTokens; // no gaps
            return;
        }
        room ??= empty(keptTokens, x.shape[1], x.dtype, x.device).DetachFromDisposeScope();
        var place = room.narrow(0, used, count).DetachFromDisposeScope();
        place.copy_(x);
        Inputs.Add(place);
        used += count;
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

    /// <summary>What was kept lives on for as long as its parts do.</summary>
    public void Dispose() => room?.Dispose();

    public void DisposeKept()
    {
        foreach (var tensor in Inputs.Concat(Routing))
            tensor.Dispose();
        Inputs.Clear();
        Routing.Clear();
    }
}
