using AwqQuantize.Engine.Tuning;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Tuning;

public sealed class HiddenDistanceTests
{
    /// <summary>Against torch's own derivative of the definition, with a token whose norm is a thousand times the others'.</summary>
    [Fact]
    public void TheGradientIsThatOfTheDefinition()
    {
        using var scope = NewDisposeScope();
        var generator = new Generator(7);
        var wanted = randn([2L, 5L, 16L], generator: generator);
        wanted[0, 0].mul_(1000);
        var own = wanted.add(randn([2L, 5L, 16L], generator: generator), alpha: 0.1).requires_grad_(true);
        var loss = own.sub(wanted).square().sum([2L]).div(wanted.square().sum([2L])).mean().mul(0.3);
        loss.backward();
        using var gradient = HiddenDistance.Gradient(own, wanted, 0.3);
        Assert.True(allclose(own.grad!, gradient, 1e-4, 1e-9));
        Assert.False(gradient.requires_grad);
    }
}
