using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>An observer that has seen the input of one site already: branches that share it show it once.</summary>
internal sealed class SeenSite(IActivationObserver inner, string seen) : IActivationObserver
{
    public bool Wants(string site) => site != seen && inner.Wants(site);

    public void OnInput(string site, Tensor x) => inner.OnInput(site, x);

    public void OnBlock(int block, Tensor entrance, Tensor output) => inner.OnBlock(block, entrance, output);

    public void OnRouting(string site, Tensor experts, Tensor weights) => inner.OnRouting(site, experts, weights);
}
