using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Every derived scale group leaves the model's function as it is, whatever the scales are.</summary>
public sealed class FoldTests
{
    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    [Theory]
    [MemberData(nameof(Cases))]
    public void AnyScalesOfTheDerivedGroupsLeaveTheLogitsAlone(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var hidden = tiny.Model.Embed(tiny.Ids);
        var (routing, foldedRouting) = (new RoutingLog(), new RoutingLog());
        var (plain, folded) = (hidden, hidden);
        for (var i = 0; i < tiny.Graph.LayerCount; i++)
        {
            using var layer = tiny.Model.LoadLayer(i);
            plain = layer.Forward(plain, routing);
            var groups = tiny.Graph.Layers[i].ScaleGroups;
            Assert.NotEmpty(groups);
            foreach (var (group, g) in groups.Select((group, g) => (group, g)))
                Fold(layer.Weights, group, Scales(group.Channels, 1000 * i + g));
            folded = layer.Forward(folded, foldedRouting);
        }
        var expected = tiny.Model.Logits(plain);
        var worst = tiny.Model.Logits(folded).sub(expected).abs().max().item<float>() / expected.abs().max().item<float>();
        Assert.True(worst < 1e-3, $"logits differ by {worst} of the largest");
        routing.AssertSameAs(foldedRouting);
    }

    /// <summary>What must be caught where it is planted: each group of a layer, changed on one side only, changes the output.</summary>
    [Theory]
    [InlineData("llama")]
    [InlineData("gemma2")]
    [InlineData("falcon_40b")]
    [InlineData("deepseek_v3")]
    [InlineData("qwen3_next")]
    public void AGroupWithoutOneOfItsConsumersChangesTheLayer(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var hidden = tiny.Model.Embed(tiny.Ids);
        foreach (var graph in tiny.Graph.Layers)
        {
            foreach (var group in graph.ScaleGroups.Where(g => !g.Site.Contains("experts.")))
            {
                using var layer = tiny.Model.LoadLayer(graph.Index);
                var before = layer.Forward(hidden);
                Fold(layer.Weights, group with { Consumers = [.. group.Consumers.Skip(1)] }, Scales(group.Channels, 7));
                var after = layer.Forward(hidden);
                Assert.True(after.sub(before).abs().max().item<float>() > 1e-3 * before.abs().max().item<float>(), $"{group.Name} does nothing");
            }
        }
    }

    /// <summary>Random scales in [1/4, 4].</summary>
    internal static float[] Scales(int channels, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, channels).Select(_ => (float)Math.Pow(2, 4 * random.NextDouble() - 2))];
    }

    /// <summary>The definition of a scale group, written out with tensors.</summary>
    internal static void Fold(LayerWeights weights, ScaleGroup group, float[] s)
    {
        using var scope = NewDisposeScope();
        var scales = tensor(s);
        foreach (var producer in group.Producers)
        {
            foreach (var suffix in (string[])[".weight", ".bias"])
            {
                if (!weights.Contains(producer.Module + suffix))
                    continue;
                var parameter = weights[producer.Module + suffix];
                var rows = producer.Rows is null ? arange(parameter.shape[0]) : tensor(producer.Rows.Select(r => (long)r).ToArray());
                var own = producer.Channel is null ? scales : scales.index_select(0, tensor(producer.Channel.Select(c => (long)c).ToArray()));
                own = own.pow(producer.Power).view([-1, .. Enumerable.Repeat(1L, (int)parameter.dim() - 1)]);
                var values = parameter.index_select(0, rows);
                var plus = producer.Kind == ScaleProducerKind.OnePlusNorm && suffix == ".weight" ? 1 : 0;
                parameter.index_copy_(0, rows, values.add(plus).div(own).sub(plus));
            }
        }
        foreach (var consumer in group.Consumers)
            weights[consumer.Module + ".weight"].mul_(consumer.Channel is null ? scales : scales.index_select(0, tensor(consumer.Channel.Select(c => (long)c).ToArray())));
    }

    /// <summary>What the routers of one run chose.</summary>
    private sealed class RoutingLog : IActivationObserver
    {
        private readonly List<(long[] Experts, float[] Weights)> seen = [];

        public bool Wants(string site) => false;

        public void OnInput(string site, Tensor x) => Assert.Fail($"{site} was not wanted");

        public void OnBlock(int block, Tensor entrance, Tensor output) => Assert.Equal(entrance.shape, output.shape);

        public void OnRouting(string site, Tensor experts, Tensor weights) =>
            seen.Add((experts.data<long>().ToArray(), weights.contiguous().data<float>().ToArray()));

        public void AssertSameAs(RoutingLog other)
        {
            Assert.Equal(seen.Count, other.seen.Count);
            foreach (var (own, its) in seen.Zip(other.seen))
            {
                Assert.Equal(own.Experts, its.Experts);
                foreach (var (a, b) in own.Weights.Zip(its.Weights))
                    Assert.Equal(a, b, 1e-3f);
            }
        }
    }
}
