using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>What an observer sees is what the linears compute with.</summary>
public sealed class ObserverTests
{
    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    [Theory]
    [MemberData(nameof(Cases))]
    public void EveryLinearsSiteIsSeenWithItsWidthAndEveryBlockAddsUp(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var hidden = tiny.Model.Embed(tiny.Ids);
        foreach (var graph in tiny.Graph.Layers)
        {
            using var layer = tiny.Model.LoadLayer(graph.Index);
            using var log = new Log();
            var next = layer.Forward(hidden, log);
            foreach (var linear in graph.Linears)
            {
                // An expert that no token chose has nothing to show.
                if (linear.Expert >= 0 && !log.Inputs.ContainsKey(linear.Site))
                    continue;
                Assert.Equal(linear.In, log.Inputs[linear.Site].Columns);
                Assert.Equal(1, log.Inputs[linear.Site].Times);
                if (linear.Expert < 0)
                    Assert.Equal(tiny.Ids.numel(), log.Inputs[linear.Site].Rows);
            }
            Assert.Equal(graph.BlockCount, log.Blocks.Count);
            for (var block = 0; block < graph.BlockCount; block++)
            {
                var (entrance, output) = log.Blocks[block];
                Assert.True(layer.RunBlock(block, entrance).sub(output).abs().max().item<float>() <= 1e-5f * output.abs().max().item<float>());
                var after = block + 1 < graph.BlockCount ? log.Blocks[block + 1].Entrance : next;
                Assert.True(entrance.add(output).sub(after).abs().max().item<float>() < 1e-5f * after.abs().max().item<float>());
            }
            hidden = next;
        }
    }

    [Fact]
    public void ExpertsCanBeRunAlone()
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open("qwen2_moe");
        using var layer = tiny.Model.LoadLayer(1);
        var hidden = tiny.Float("hidden_states.1");
        using var some = new Log();
        layer.Forward(hidden, some);
        var (block, mixture) = layer.Graph.Blocks.Select((b, i) => (i, b as MixtureSpec)).Single(b => b.Item2 is not null);
        var chosen = some.Routing.Single();
        Assert.Equal(tiny.Ids.numel() * 2, Enumerable.Range(0, 4).Sum(e => some.Inputs.GetValueOrDefault(mixture!.ExpertInputSite(e)).Rows));

        // The mixture, put together from single experts and the routing that was seen.
        var input = some.Values[mixture!.InputSite];
        var sum = zeros_like(input);
        for (var e = 0; e < 4; e++)
        {
            var share = chosen.Weights.mul(chosen.Experts.eq(e)).sum(-1, keepdim: true);
            sum.add_(layer.RunExpert(block, e, input).mul_(share));
        }
        var weights = layer.Weights;
        Tensor Linear(string module, Tensor x) => nn.functional.linear(x, weights[$"mlp.{module}.weight"]);
        var shared = Linear("shared_expert.down_proj", nn.functional.silu(Linear("shared_expert.gate_proj", input)).mul(Linear("shared_expert.up_proj", input)));
        sum.add_(shared.mul(Linear("shared_expert_gate", input).sigmoid()));
        var expected = some.Blocks[block].Output.view(sum.shape);
        Assert.True(sum.sub(expected).abs().max().item<float>() < 1e-5f * expected.abs().max().item<float>());
    }

    [Fact]
    public void ALayerRunsWithWeightsThatWereChangedOrReplaced()
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open("llama");
        using var layer = tiny.Model.LoadLayer(0);
        var hidden = tiny.Float("hidden_states.0");
        var before = layer.Forward(hidden);
        layer.Weights["mlp.down_proj.weight"].mul_(0);
        var without = layer.Forward(hidden);
        Assert.False(without.equal(before).all().item<bool>());
        layer.Weights.Set("self_attn.o_proj.weight", zeros_like(layer.Weights["self_attn.o_proj.weight"]));
        Assert.True(layer.Forward(hidden).equal(hidden).all().item<bool>());
        Assert.Equal(tiny.Graph.Layers[0].Parameters.Sum(p => p.Shape.Aggregate(1L, (a, b) => a * b)) * 4, layer.Weights.ByteSize);
    }

    private sealed class Log : IActivationObserver, IDisposable
    {
        public Dictionary<string, (long Rows, long Columns, int Times)> Inputs { get; } = [];

        public Dictionary<string, Tensor> Values { get; } = [];

        public List<(Tensor Entrance, Tensor Output)> Blocks { get; } = [];

        public List<(Tensor Experts, Tensor Weights)> Routing { get; } = [];

        public bool Wants(string site) => true;

        public void OnInput(string site, Tensor x)
        {
            Assert.True(x.is_contiguous());
            Inputs[site] = (x.shape[0], x.shape[1], Inputs.GetValueOrDefault(site).Times + 1);
            if (!Values.ContainsKey(site))
                Values[site] = x.clone().DetachFromDisposeScope();
        }

        public void OnBlock(int block, Tensor entrance, Tensor output)
        {
            Assert.Equal(Blocks.Count, block);
            Blocks.Add((entrance.clone().DetachFromDisposeScope(), output.clone().DetachFromDisposeScope()));
        }

        public void OnRouting(string site, Tensor experts, Tensor weights) =>
            Routing.Add((experts.clone().DetachFromDisposeScope(), weights.clone().DetachFromDisposeScope()));

        public void Dispose()
        {
            foreach (var tensor in Values.Values.Concat(Blocks.SelectMany(b => (Tensor[])[b.Entrance, b.Output])).Concat(Routing.SelectMany(r => (Tensor[])[r.Experts, r.Weights])))
                tensor.Dispose();
        }
    }
}
