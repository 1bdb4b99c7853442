using System.Text.Json.Nodes;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Families that transformers has no code for, against a decoder that is written down a second time.</summary>
public sealed class PlainDecoderTests
{
    private static void AssertComputes(string name, Func<Func<string, Tensor?>, PlainDecoder> plain, Action<Dictionary<string, Tensor>>? names = null)
    {
        using var scope = NewDisposeScope();
        var (config, table) = PublishedFamilies.All[name];
        var shapes = RandomModel.Shapes(table);
        var source = new RandomModel(shapes);
        using var model = DecoderModel.Open(Repository.Catalog.Resolve(JsonNode.Parse(config)!.AsObject(), shapes), source, CPU);
        var tensors = shapes.Keys.ToDictionary(n => n, n => source.Read(n, CPU));
        names?.Invoke(tensors);
        var ids = tensor(Enumerable.Range(0, 2 * 40).Select(i => (long)(i * i * 7 + 3 * i) % 50).ToArray()).view(2, 40);
        var expected = plain(n => tensors.GetValueOrDefault(n)).Logits(ids);
        var hidden = model.Embed(ids);
        for (var i = 0; i < model.Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            hidden = layer.Forward(hidden);
        }
        var worst = model.Logits(hidden).sub(expected).abs().max().item<float>() / expected.abs().max().item<float>();
        Assert.True(worst < 1e-4, $"logits differ by {worst} of the largest");
    }

    /// <summary>The yardstick itself, against transformers.</summary>
    [Theory]
    [InlineData("llama")]
    [InlineData("llama_bias")]
    public void ThePlainDecoderIsTheReferences(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var tensors = tiny.Source.Shapes.Keys.ToDictionary(n => n, n => tiny.Source.Read(n, CPU));
        var plain = new PlainDecoder(n => tensors.GetValueOrDefault(n)) { Layers = 2, Heads = 4, KvHeads = 2, HeadDim = 32, Epsilon = 1e-6 };
        Assert.True(plain.Logits(tiny.Ids).sub(tiny.Float("logits")).abs().max().item<float>() < 1e-3);
    }

    [Fact]
    public void OrionHasLayerNorms() => AssertComputes("orion",
        find => new PlainDecoder(find) { Layers = 2, Heads = 4, KvHeads = 2, HeadDim = 16, Epsilon = 1e-5, LayerNorm = true });

    /// <summary>scale_emb, scale_depth / sqrt(layers) and hidden / dim_model_base.</summary>
    [Fact]
    public void MinicpmHasFactors() => AssertComputes("minicpm", find => new PlainDecoder(find)
    {
        Layers = 2, Heads = 4, KvHeads = 2, HeadDim = 16, Epsilon = 1e-6, EmbeddingFactor = 12, BranchFactor = 1.4 / Math.Sqrt(2), LogitFactor = 32.0 / 64,
    });

    [Fact]
    public void Minicpm3HasLatentAttentionAndLongRope() => AssertComputes("minicpm3", find => new PlainDecoder(find)
    {
        Layers = 2, Heads = 4, KvHeads = 4, HeadDim = 24, Epsilon = 1e-6, EmbeddingFactor = 12, BranchFactor = 1.4 / Math.Sqrt(2), LogitFactor = 32.0 / 64,
        NopeDim = 16, RopeDim = 8, Latent = 16,
        // 40 positions are more than the original 16: the long factors hold.
        Frequencies = [.. Enumerable.Range(0, 4).Select(j => Math.Pow(10000, -j / 4.0) / (j + 1))],
        RotaryFactor = Math.Sqrt(1 + Math.Log(64.0 / 16) / Math.Log(16)),
    });

    [Fact]
    public void Baichuan13BHasLinearBiases() => AssertComputes("baichuan-13b",
        find => new PlainDecoder(find) { Layers = 2, Heads = 4, KvHeads = 4, HeadDim = 16, Epsilon = 1e-6, Slopes = [1 / 4f, 1 / 16f, 1 / 64f, 1 / 256f] },
        tensors =>
        {
            foreach (var i in new[] { 0, 1 })
                foreach (var (part, name) in tensors[$"model.layers.{i}.self_attn.W_pack.weight"].chunk(3, 0).Zip(["q_proj", "k_proj", "v_proj"]))
                    tensors[$"model.layers.{i}.self_attn.{name}.weight"] = part;
        });

    [Fact]
    public void Internlm3HasBiasesOfItsOwn() => AssertComputes("internlm3",
        find => new PlainDecoder(find) { Layers = 2, Heads = 4, KvHeads = 2, HeadDim = 16, Epsilon = 1e-6 });
}
