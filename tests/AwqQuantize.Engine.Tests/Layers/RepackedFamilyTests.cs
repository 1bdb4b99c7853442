using System.Text.Json.Nodes;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>
/// Families that transformers has no code for and that compute what a reference model computes, in other tensors: a reference is
/// given their names and layouts, with a config as they publish it, and must give the reference's logits.
/// </summary>
public sealed class RepackedFamilyTests
{
    private const string Sizes = """
        "hidden_size":128,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":256,"vocab_size":160,"max_position_embeddings":512,"hidden_act":"silu","rms_norm_eps":1e-6,"tie_word_embeddings":false
        """;

    private const int HeadDim = 32;

    private static void AssertComputes(string reference, string config, Func<Dictionary<string, Tensor>, Dictionary<string, Tensor>> repack, Func<Tensor, Tensor>? logits = null)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(reference);
        var source = new TensorTable(repack(tiny.Source.Shapes.Keys.ToDictionary(n => n, n => tiny.Source.Read(n, CPU))));
        using var model = DecoderModel.Open(Repository.Catalog.Resolve(JsonNode.Parse(config)!.AsObject(), source.Shapes), source, CPU);
        Assert.False(model.Graph.MatchedByShape);
        Assert.Equal("", string.Join(", ", model.Graph.UnreadConfigKeys));
        var hidden = model.Embed(tiny.Ids);
        for (var i = 0; i < model.Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            hidden = layer.Forward(hidden);
        }
        var expected = tiny.Float("logits");
        if (logits is not null)
            expected = logits(expected);
        var worst = model.Logits(hidden).narrow(-1, 0, expected.shape[^1]).sub(expected).abs().max().item<float>();
        Assert.True(worst < 1e-3, $"logits differ by {worst}");
    }

    private static Dictionary<string, Tensor> Renamed(Dictionary<string, Tensor> tensors, params (string From, string To)[] names) =>
        tensors.ToDictionary(t => names.Aggregate(t.Key, (n, pair) => n.Replace(pair.From, pair.To)), t => t.Value);

    /// <summary>Takes the parts of a layer's attention away and puts one tensor in their place.</summary>
    private static Dictionary<string, Tensor> Packed(Dictionary<string, Tensor> tensors, string[] parts, string whole, Func<Tensor[], Tensor> pack)
    {
        foreach (var i in new[] { 0, 1 })
        {
            var names = parts.Select(p => $"model.layers.{i}.self_attn.{p}.weight").ToList();
            tensors[$"model.layers.{i}.self_attn.{whole}.weight"] = pack([.. names.Select(n => tensors[n])]);
            names.ForEach(n => tensors.Remove(n));
        }
        return tensors;
    }

    private static Tensor[] Heads(Tensor weight) => weight.view(-1, HeadDim, weight.shape[1]).unbind();

    [Theory]
    [InlineData("aquila")]
    [InlineData("xverse")]
    public void LlamasUnderAnotherType(string type) => AssertComputes("llama", $$"""{"model_type":"{{type}}",{{Sizes}} }""", t => t);

    [Fact]
    public void YiNamesItsNorms() => AssertComputes("llama", $$"""{"model_type":"Yi",{{Sizes}} }""",
        t => Renamed(t, ("post_attention_layernorm", "ln2"), ("input_layernorm", "ln1")));

    [Fact]
    public void Internlm3HasBiases() => AssertComputes("llama_bias", $$"""{"model_type":"internlm3",{{Sizes}},"head_dim":32,"bias":true,"qkv_bias":true}""", t => t);

    /// <summary>W_pack is [queries, keys, values]; there are as many kv heads as heads.</summary>
    [Fact]
    public void Baichuan() => AssertComputes("llama", $$"""{"model_type":"baichuan",{{Sizes.Replace("\"num_key_value_heads\":2,", "")}} }""", Baichuans);

    private static Dictionary<string, Tensor> Baichuans(Dictionary<string, Tensor> tensors)
    {
        static Tensor Doubled(Tensor weight) => cat([.. Heads(weight).SelectMany(h => new[] { h, h })]);
        return Packed(tensors, ["q_proj", "k_proj", "v_proj"], "W_pack", p => cat([p[0], Doubled(p[1]), Doubled(p[2])]));
    }

    /// <summary>With a vocabulary above 64,000 it is a Baichuan 2, which divides the head's rows by their length.</summary>
    [Fact]
    public void Baichuan2NormalisesItsHead()
    {
        Tensor? lengths = null;
        AssertComputes("llama", $$"""{"model_type":"baichuan",{{Sizes.Replace("\"num_key_value_heads\":2,", "").Replace(":160", ":64160")}} }""", tensors =>
        {
            lengths = tensors["lm_head.weight"].square().sum(1).sqrt();
            foreach (var name in new[] { "lm_head.weight", "model.embed_tokens.weight" })
                tensors[name] = cat([tensors[name], ones(64000, 128)]);
            return Baichuans(tensors);
        }, logits => logits.div(lengths!));
    }

    /// <summary>wqkv is, for each kv head, [its queries, key, value].</summary>
    [Fact]
    public void Internlm2() => AssertComputes("llama", $$"""{"model_type":"internlm2",{{Sizes}},"bias":false,"rope_theta":10000,"rope_scaling":{"type":"dynamic","factor":2.0} }""",
        t => Renamed(Packed(t, ["q_proj", "k_proj", "v_proj"], "wqkv", p =>
        {
            var (q, k, v) = (Heads(p[0]), Heads(p[1]), Heads(p[2]));
            return cat([q[0], q[1], k[0], v[0], q[2], q[3], k[1], v[1]]);
        }), ("self_attn.o_proj", "attention.wo"), ("self_attn", "attention"), ("embed_tokens", "tok_embeddings"), ("lm_head", "output"), ("input_layernorm", "attention_norm"),
            ("post_attention_layernorm", "ffn_norm"), ("mlp.gate_proj", "feed_forward.w1"), ("mlp.up_proj", "feed_forward.w3"), ("mlp.down_proj", "feed_forward.w2")));

    /// <summary>key_value is, for each kv head, [key, value]; output linears have biases.</summary>
    [Fact]
    public void Telechat2() => AssertComputes("llama_bias", """{"model_type":"telechat","hidden_size":128,"n_layer":2,"n_head":4,"num_key_value_heads":2,"ffn_hidden_size":256,"vocab_size":160,"seq_length":512,"layer_norm_epsilon":1e-6}""",
        t => Renamed(Packed(WithoutInputBiases(t), ["k_proj", "v_proj"], "key_value", p => cat([.. Heads(p[0]).Zip(Heads(p[1])).SelectMany(x => new[] { x.First, x.Second })])),
            ("model.", "transformer."), ("layers", "h"), ("self_attn.q_proj", "self_attention.query"), ("self_attn.o_proj", "self_attention.dense"),
            ("self_attn", "self_attention"), ("embed_tokens", "word_embeddings"), ("transformer.norm", "transformer.ln_f")),
        _ => ReferenceWithoutInputBiases());

    private static Dictionary<string, Tensor> WithoutInputBiases(Dictionary<string, Tensor> tensors) =>
        tensors.Where(t => !(t.Key.EndsWith(".bias", StringComparison.Ordinal) && (t.Key.Contains("q_proj") || t.Key.Contains("k_proj") || t.Key.Contains("v_proj")
            || t.Key.Contains("gate_proj") || t.Key.Contains("up_proj")))).ToDictionary();

    /// <summary>No reference has biases at the outputs only: the plain decoder gives theirs.</summary>
    private static Tensor ReferenceWithoutInputBiases()
    {
        using var tiny = TinyModel.Open("llama_bias");
        var tensors = WithoutInputBiases(tiny.Source.Shapes.Keys.ToDictionary(n => n, n => tiny.Source.Read(n, CPU)));
        return new PlainDecoder(n => tensors.GetValueOrDefault(n)) { Layers = 2, Heads = 4, KvHeads = 2, HeadDim = HeadDim, Epsilon = 1e-6 }.Logits(tiny.Ids);
    }

    [Fact]
    public void Exaone3() => AssertComputes("llama_rope3", """{"model_type":"exaone","hidden_size":128,"num_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":64,"intermediate_size":256,"vocab_size":160,"max_position_embeddings":512,"activation_function":"silu","layer_norm_epsilon":1e-5,"tie_word_embeddings":true,"rope_theta":10000.0,"rope_scaling":{"factor":8.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position_embeddings":64,"rope_type":"llama3"} }""",
        t => Renamed(t, ("model.embed_tokens", "transformer.wte"), ("model.norm", "transformer.ln_f"), ("model.layers", "transformer.h"), ("input_layernorm", "ln_1"),
            ("post_attention_layernorm", "ln_2"), ("self_attn.o_proj", "attn.attention.out_proj"), ("self_attn", "attn.attention"), ("mlp.gate_proj", "mlp.c_fc_0"),
            ("mlp.up_proj", "mlp.c_fc_1"), ("mlp.down_proj", "mlp.c_proj")));

    [Fact]
    public void KimiK2IsADeepseekV3()
    {
        using var tiny = TinyModel.Open("deepseek_v3");
        var config = Engine.Checkpoints.ModelConfig.Load(Path.Combine(TinyModel.Root, "deepseek_v3", "config.json")).Root.DeepClone().AsObject();
        config["model_type"] = "kimi_k2";
        AssertComputes("deepseek_v3", config.ToJsonString(), t => t);
    }
}
