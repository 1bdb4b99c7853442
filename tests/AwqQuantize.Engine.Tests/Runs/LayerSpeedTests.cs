using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

public sealed class LayerSpeedTests
{
    private static readonly MachineSpeed Speed = new(1e13, 1e7);

    /// <summary>A layer of each kind can be timed from its shape alone: stacked experts, recurrences, latent attention, branches side by side.</summary>
    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    [InlineData("falcon_40b")]
    [InlineData("gpt_oss")]
    [InlineData("llama4_text")]
    [InlineData("deepseek_v3")]
    [InlineData("qwen3_next")]
    public void ALayerOfEachKindIsTimed(string family)
    {
        TorchRuntime.EnsureLoaded();
        var measured = LayerSpeed.Measure(Graph(family), 32, Speed, patience: 0);
        // No processor makes products of some dozens of columns as quickly as the speed says, let alone all the rest of a layer.
        Assert.InRange(measured!.Forward, 10, 1e9);
        Assert.InRange(measured.Gradients, 10, 1e9);
    }

    [Fact]
    public void WhatALayerTakesBesideItsProductsIsPartOfTheTimeTold()
    {
        var graph = Graph("llama");
        var none = new Dictionary<string, string>();
        WorkEstimate Work(double beside) => WorkEstimate.Of(graph.Layers[0], none, new() { GroupSize = 32 }, 4096, 32, beside);
        Assert.Equal(2 * Work(1).Forward, Work(2).Forward, Work(2).Forward * 1e-12);
        var layer = graph.Layers[0];
        // Two operations for each weight and token, and for each pair of tokens that attention looks at twice two for each channel.
        var weights = layer.Linears.Sum(l => (double)l.In * l.Out);
        var attention = layer.Blocks.OfType<AttentionSpec>().Single();
        Assert.Equal(4096 * (2 * weights + 2 * 32 * attention.Heads * attention.HeadDim), Work(1).Forward, 1.0);
    }

    private static ModelGraph Graph(string family)
    {
        using var source = ModelSource.Open(SharedData.Repository($"tests/data/tiny/{family}"), Repository.Catalog);
        return source.Graph;
    }
}
