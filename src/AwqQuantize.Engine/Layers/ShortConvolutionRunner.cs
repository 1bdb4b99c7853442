using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>A gated short convolution, as its <see cref="ShortConvolutionSpec"/> says.</summary>
internal sealed class ShortConvolutionRunner(ShortConvolutionSpec spec, LayerWeights weights, PositionTables tables) : BlockRunner(weights, tables)
{
    public override Tensor Run(Tensor x, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        Observe(observer, spec.InputSite, x);
        var parts = Linear(spec.Input, x);
        Tensor Part(int index) => parts.narrow(-1, index * spec.Hidden, spec.Hidden);
        var hidden = Convolve(spec.Convolution, Part(0).mul(Part(2))).mul_(Part(1));
        Observe(observer, spec.HiddenSite, hidden);
        return Linear(spec.Output, hidden).MoveToOuterDisposeScope();
    }
}
