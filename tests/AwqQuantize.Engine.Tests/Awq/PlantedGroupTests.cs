using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>A scale group that changes the model's function cannot be derived; one that is planted is caught when it is folded.</summary>
public sealed class PlantedGroupTests
{
    /// <summary>A norm whose group lacks one of its readers.</summary>
    [Fact]
    public void AReaderThatIsLeftOutIsNoticed() => AssertCaught("llama", "v_proj",
        g => g.Site == "attention.input", g => g with { Consumers = [.. g.Consumers.Where(c => c.Module != "self_attn.v_proj")] });

    /// <summary>The activated branch in place of the other one.</summary>
    [Fact]
    public void AProducerBehindAnActivationIsNoticed() => AssertCaught("llama", "gate_proj",
        g => g.Site == "mlp.hidden", g => g with { Producers = [g.Producers[0] with { Module = "mlp.gate_proj" }] });

    /// <summary>The same within an expert.</summary>
    [Fact]
    public void AlsoWithinAnExpert() => AssertCaught("qwen3_moe", "experts.0",
        g => g.Site == "moe.experts.0.hidden", g => g with { Producers = [g.Producers[0] with { Module = g.Producers[0].Module.Replace("up_proj", "gate_proj") }] });

    private static void AssertCaught(string name, string what, Func<ScaleGroup, bool> which, Func<ScaleGroup, ScaleGroup> change)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var right = Quantise(tiny, tiny.Graph);
        var own = tiny.Graph.Layers[0].ScaleGroups.Single(which);
        var wrong = change(own);
        Assert.NotEqual(own, wrong);
        var planted = tiny.Graph with { Layers = [tiny.Graph.Layers[0] with { ScaleGroups = [.. tiny.Graph.Layers[0].ScaleGroups.Select(g => ReferenceEquals(g, own) ? wrong : g)] }, .. tiny.Graph.Layers.Skip(1)] };
        var caught = Quantise(tiny, planted);
        Assert.DoesNotContain(right.Outcome.Groups, g => g.Reverted);
        Assert.Empty(right.Outcome.Warnings);
        var outcome = Assert.Single(caught.Outcome.Groups, g => g.Reverted);
        Assert.Equal(wrong.Name, outcome.Name);
        Assert.NotEqual(ScaleKind.Identity, outcome.Kind);
        Assert.True(outcome.FoldError > 1e-3, $"{what}: {outcome.FoldError}");
        Assert.Contains(caught.Outcome.Warnings, w => w.Contains($"'{wrong.Name}' were not used"));
        // The layer still computes what it should, as well as 4 bits allow.
        Assert.InRange(caught.Error, 0, 2 * right.Error);
    }

    private static (LayerOutcome Outcome, double Error) Quantise(TinyModel tiny, ModelGraph graph)
    {
        using var model = DecoderModel.Open(graph, tiny.Source, CPU);
        using var layer = model.LoadLayer(0);
        // Channels of very different size, so that scales are worth something.
        foreach (var norm in new[] { "input_layernorm.weight", "post_attention_layernorm.weight" })
            layer.Weights[norm].narrow(0, 3, 5).mul_(30);
        foreach (var up in layer.Weights.Names.Where(n => n.EndsWith("up_proj.weight", StringComparison.Ordinal)))
            layer.Weights[up].narrow(0, 2, 4).mul_(30);
        var entrance = tiny.Float("hidden_states.0");
        var wanted = layer.Forward(entrance);
        using var hidden = new HiddenStates((int)entrance.shape[0], (int)entrance.shape[1], graph.HiddenSize);
        hidden.Store(0, entrance);
        var quantizer = new LayerQuantizer(layer, hidden, new AwqSettings { GroupSize = 32, JudgeByBlock = false }, ModuleSelection.StayFloat(layer.Graph, 32, []), new MicroBatch(2, "unused", (_, _) => { }), default);
        var outcome = quantizer.Run();
        using var found = hidden.View(0, hidden.Rows);
        return (outcome, (found.sub(wanted).norm() / wanted.norm()).item<float>());
    }
}
