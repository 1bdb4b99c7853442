using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Gradients through every kind of layer are what differences say, so no operation overwrites what its own gradient needs.</summary>
public sealed class GradientTests
{
    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    [Theory]
    [MemberData(nameof(Cases))]
    public void GradientsOfLayersAreWhatDifferencesSay(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var hidden = tiny.Model.Embed(tiny.Ids);
        var random = new Generator(5);
        for (var i = 0; i < tiny.Graph.LayerCount; i++)
        {
            using var layer = tiny.Model.LoadLayer(i);
            var direction = randn(hidden.shape, generator: random).mul(hidden.abs().mean());
            var towards = randn(hidden.shape, generator: random);
            Compare($"{name} layer {i}, hidden states", hidden, direction, towards, x => layer.ForwardForGradient(x));
            foreach (var parameter in layer.Graph.Parameters.Where(p => p.Shape.Length <= 2 && !p.Stored.KeepFloat32).Select(p => p.Name).Where(IsTuned))
            {
                var value = layer.Weights[parameter].clone();
                var along = randn(value.shape, generator: random).mul(value.abs().mean().add(0.01));
                Compare($"{name} layer {i}, {parameter}", value, along, towards, x =>
                {
                    layer.Weights.Set(parameter, x.alias());
                    return layer.ForwardForGradient(hidden);
                });
                layer.Weights.Set(parameter, value.clone());
            }
            hidden = layer.Forward(hidden);
        }
        Compare($"{name}, head", hidden, randn(hidden.shape, generator: random).mul(hidden.abs().mean()),
            randn(tiny.Model.Logits(hidden).shape, generator: random), x => tiny.Model.LogitsForGradient(x));
    }

    // All norms and biases, and of experts the first.
    private static bool IsTuned(string name) => !name.Contains("experts.") || name.Contains("experts.0.");

    /// <summary>The slope of ⟨f(x), towards⟩ along a direction, by gradient and by central differences.</summary>
    private static void Compare(string what, Tensor x, Tensor direction, Tensor towards, Func<Tensor, Tensor> f)
    {
        using var scope = NewDisposeScope();
        double Value(double step)
        {
            using var guard = no_grad();
            return f(x.add(direction.mul(step))).mul(towards).sum(ScalarType.Float64).item<double>();
        }
        var leaf = x.detach().clone().requires_grad_(true);
        var output = f(leaf);
        if (!output.requires_grad)
            return; // a parameter of a branch that this input does not take
        output.backward([towards]);
        if (leaf.grad is not { } gradient)
            return;
        var slope = gradient.mul(direction).sum(ScalarType.Float64).item<double>();
        var size = gradient.mul(direction).norm().item<float>();
        var rounding = output.detach().mul(towards).norm().item<float>() * 1e-6;
        // Where a router changes its mind or a unit its sign between the two, the difference says little: one of the steps must do.
        var (differences, agrees) = ("", false);
        for (var step = 8e-3; step > 1e-4 && !agrees; step /= 4)
        {
            var expected = (Value(step) - Value(-step)) / (2 * step);
            agrees = Math.Abs(slope - expected) < 0.02 * size + rounding / step;
            differences += $" {expected:g6} (step {step})";
        }
        Assert.True(agrees, $"{what}: gradient {slope}, differences{differences}, size {size}");
    }
}
