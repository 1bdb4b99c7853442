using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>Inputs of routed experts that are made anew, a few experts at a time, are those that would have been kept.</summary>
public sealed class ExpertInputsTests
{
    private const int Experts = 6, Channels = 8;

    private readonly Tensor x = randn([30, Channels]);
    // Two of six for each token; every expert gets ten.
    private readonly Tensor chosen = tensor(Enumerable.Range(0, 30).SelectMany(t => new long[] { t % Experts, (t + 1 + t / Experts) % Experts }).ToArray()).view(30, 2);

    private SiteInputs Site(bool kept)
    {
        var statistics = new InputStatistics(Channels, ComputeDevice.Host);
        statistics.Add(x);
        // Gathered in parts of 10 and 20 tokens.
        return new SiteInputs(statistics, kept ? [x.narrow(0, 0, 10).clone(), x.narrow(0, 10, 20).clone()] : [],
            [chosen.narrow(0, 0, 10).clone(), chosen.narrow(0, 10, 20).clone()], 5);
    }

    [Theory]
    [InlineData(true, 0, 1, 0)]
    [InlineData(true, 0, 3, 0)]
    [InlineData(false, 0, 1, 6)]
    [InlineData(false, 0, 2, 3)]
    [InlineData(false, 20 * Channels * sizeof(float), 1, 3)]
    [InlineData(false, 20 * Channels * sizeof(float), 3, 2)]
    [InlineData(false, int.MaxValue, 1, 1)]
    public void EveryExpertGetsItsTokensInOrder(bool kept, long budget, int heldTogether, int expectedPasses)
    {
        var passes = 0;
        using var site = Site(kept);
        using var inputs = new ExpertInputs(site, false, [.. Enumerable.Range(0, Experts)], budget, use =>
        {
            passes++;
            // Made anew in other parts than they were gathered in.
            for (var from = 0; from < 30; from += 15)
                use(from, x.narrow(0, from, 15));
        });
        for (var e = 0; e < Experts; e++)
        {
            var own = Enumerable.Range(0, 30).Where(t => chosen[t, 0].item<long>() == e || chosen[t, 1].item<long>() == e).Select(t => (long)t).ToArray();
            Assert.Equal(own.Length, inputs.TokensOf(e));
            if (e % heldTogether == 0)
                inputs.Hold([.. Enumerable.Range(e, heldTogether)]);
            foreach (var _ in new[] { 1, 2 })
            {
                var parts = new List<Tensor>();
                inputs.Each(e, parts.Add);
                Assert.True(cat(parts, 0).equal(x.index_select(0, tensor(own))).all().item<bool>());
            }
        }
        Assert.Equal(expectedPasses, passes);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void OrAllOfThem(bool kept)
    {
        using var site = Site(kept);
        using var inputs = new ExpertInputs(site, true, [0, 1], 0, use => use(0, x));
        var parts = new List<Tensor>();
        inputs.Each(1, parts.Add);
        Assert.Equal(30, inputs.TokensOf(1));
        Assert.True(cat(parts, 0).equal(x).all().item<bool>());
    }

    /// <summary>Memory runs out while they are made: they are made anew, and not taken for few.</summary>
    [Fact]
    public void WhatWasNotMadeToItsEndIsNotGiven()
    {
        using var site = Site(false);
        var passes = 0;
        using var inputs = new ExpertInputs(site, false, [0], 0, use =>
        {
            use(0, x.narrow(0, 0, 15));
            if (++passes == 1)
                throw new OutOfMemoryException("as a test has it");
            use(15, x.narrow(0, 15, 15));
        });
        Assert.Throws<OutOfMemoryException>(() => inputs.Each(0, _ => { }));
        var tokens = 0L;
        inputs.Each(0, part => tokens += part.shape[0]);
        Assert.Equal((2, (long)inputs.TokensOf(0)), (passes, tokens));
    }

    /// <summary>Rows that have become shorter in between: tokens that are gone are left out.</summary>
    [Fact]
    public void TokensThatAreGoneAreLeftOut()
    {
        using var site = Site(false);
        using var inputs = new ExpertInputs(site, false, [0], 0, use =>
        {
            for (var row = 0; row < 6; row++)
                use(row * 5, x.narrow(0, row * 5, 3));
        });
        var parts = new List<Tensor>();
        inputs.Each(0, parts.Add);
        var own = Enumerable.Range(0, 30).Where(t => t % 5 < 3 && (chosen[t, 0].item<long>() == 0 || chosen[t, 1].item<long>() == 0)).Select(t => (long)t).ToArray();
        Assert.True(cat(parts, 0).equal(x.index_select(0, tensor(own))).all().item<bool>());
    }

    [Theory]
    [InlineData("qwen3_moe", false)]
    [InlineData("qwen3_moe", true)]
    [InlineData("deepseek_v3", false)]
    [InlineData("gpt_oss", false)]
    public void ALayerIsQuantisedTheSameFromEither(string name, bool everyToken)
    {
        using var scope = NewDisposeScope();
        var settings = new AwqSettings { GroupSize = 32, SearchScales = false, AllTokensToAllExperts = everyToken };
        var (kept, anew) = (Quantise(name, settings), Quantise(name, settings with { KeptInputBytes = 0 }));
        Assert.All(kept.Keys, k => Assert.Contains("experts", k));
        Assert.NotEmpty(kept);
        foreach (var (module, linear) in kept)
        {
            Assert.Equal(linear.Codes, anew[module].Codes);
            Assert.Equal(linear.Scales, anew[module].Scales);
        }
    }

    private static IReadOnlyDictionary<string, QuantizedLinear> Quantise(string name, AwqSettings settings)
    {
        using var tiny = TinyModel.Open(name);
        var last = tiny.Graph.LayerCount - 1;
        using var layer = tiny.Model.LoadLayer(last);
        var entrance = tiny.Float($"hidden_states.{last}");
        using var hidden = new HiddenStates((int)entrance.shape[0], (int)entrance.shape[1], tiny.Graph.HiddenSize);
        hidden.Store(0, entrance);
        // Only experts are quantised: how attention is left also depends on the budget, and rounds the hidden states otherwise.
        var floating = layer.Graph.Linears.Where(l => l.Expert < 0).ToDictionary(l => l.Module, _ => "not looked at here");
        var quantizer = new LayerQuantizer(layer, hidden, settings, floating, new MicroBatch(2, "unused", (_, _) => { }), default);
        quantizer.Run();
        return quantizer.Quantized;
    }
}
