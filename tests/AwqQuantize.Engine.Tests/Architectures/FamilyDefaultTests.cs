using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Tests.Layers;

namespace AwqQuantize.Engine.Tests.Architectures;

/// <summary>What a config leaves out takes the family's own default, and what it says is followed.</summary>
public sealed class FamilyDefaultTests
{
    private static ModelGraph Published(string name, Action<JsonObject> change, string more = "", string less = "")
    {
        var (source, tensors) = PublishedFamilies.All[name];
        var config = JsonNode.Parse(source)!.AsObject();
        change(config);
        var shapes = RandomModel.Shapes(tensors + "\n" + more);
        foreach (var gone in RandomModel.Shapes(less).Keys)
            Assert.True(shapes.Remove(gone), gone);
        return Repository.Catalog.Resolve(config, shapes);
    }

    private static ModelGraph Tiny(string name, Action<JsonObject> change)
    {
        using var model = ModelFolder.Open(Path.Combine(Repository.Root, "tests", "data", "tiny", name));
        var config = model.Config.Root.DeepClone().AsObject();
        change(config);
        return Repository.Catalog.Resolve(config, model.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
    }

    private static AttentionSpec Attention(ModelGraph graph, int layer = 0) => graph.Layers[layer].Blocks.OfType<AttentionSpec>().Single();

    private static Action<JsonObject> Without(params string[] keys) => config =>
    {
        foreach (var key in keys)
            config.Remove(key);
    };

    [Theory]
    [InlineData("exaone4", 1e-5)]
    [InlineData("olmo2", 1e-5)]
    [InlineData("phi3", 1e-5)]
    [InlineData("glm4", 1.5625e-7)]
    [InlineData("llama", 1e-6)]
    public void EpsilonOfNorms(string name, double epsilon) => Assert.Equal(epsilon, Tiny(name, Without("rms_norm_eps")).Head.FinalNorm!.Epsilon);

    [Theory]
    [InlineData("ministral3", 1e-5)]
    [InlineData("hunyuan_v1_dense", 1e-5)]
    [InlineData("ernie4_5", 1e-5)]
    [InlineData("glm", 1.5625e-7)]
    public void EpsilonOfPublishedFamilies(string name, double epsilon) =>
        Assert.Equal(epsilon, Published(name, Without("rms_norm_eps")).Head.FinalNorm!.Epsilon);

    /// <summary>jetmoe gives its epsilon to the final norm only.</summary>
    [Fact]
    public void JetmoesBlocksHaveTheirOwnEpsilon()
    {
        var graph = Published("jetmoe", c => c["rms_norm_eps"] = 1e-3);
        Assert.Equal(1e-3, graph.Head.FinalNorm!.Epsilon);
        Assert.All(graph.Layers.SelectMany(l => l.Blocks), b => Assert.Equal(1e-6, b.Norm!.Epsilon));
    }

    [Fact]
    public void RotaryEmbeddings()
    {
        Assert.Equal(10000, Attention(Tiny("cohere2", Without("rope_theta"))).Rotary!.Theta);
        var scaling = Attention(Tiny("gpt_oss", Without("rope_theta", "rope_scaling"))).Rotary!.Scaling!;
        Assert.Equal((RotaryScalingKind.Yarn, 32.0, 4096.0, false), (scaling.Kind, scaling.Factor, scaling.OriginalPositions, scaling.Truncate));
        var ministral = Attention(Published("ministral3", Without("rope_parameters")));
        Assert.Equal((1e6, RotaryScalingKind.Yarn, 16.0, 16384.0),
            (ministral.Rotary!.Theta, ministral.Rotary.Scaling!.Kind, ministral.Rotary.Scaling.Factor, ministral.Rotary.Scaling.OriginalPositions));
        Assert.Equal((0.1, 16384.0), (ministral.Temperature!.Strength, ministral.Temperature.Period));
    }

    /// <summary>A missing key means the family's cap, null means none.</summary>
    [Fact]
    public void SoftCaps()
    {
        var missing = Tiny("gemma2", Without("attn_logit_softcapping", "final_logit_softcapping"));
        Assert.Equal((50.0, 30.0), (Attention(missing).SoftCap, missing.Head.SoftCap));
        var none = Tiny("gemma2", c => (c["attn_logit_softcapping"], c["final_logit_softcapping"]) = (null, null));
        Assert.Equal((0.0, 0.0), (Attention(none).SoftCap, none.Head.SoftCap));
        // transformers' gemma3 has the key and does not use it.
        Assert.Equal(0, Attention(Tiny("gemma3_text", c => c["attn_logit_softcapping"] = 20)).SoftCap);
    }

    [Fact]
    public void RoutersAndSharedExperts()
    {
        Assert.Equal(1, Tiny("qwen3_next", Without("norm_topk_prob")).Layers.SelectMany(l => l.Blocks).OfType<MixtureSpec>().First().Router.Normalize);
        Assert.Equal(64, Published("ernie4_5_moe", Without("moe_num_shared_experts")).Layers[1].Blocks.OfType<MixtureSpec>().Single().Shared!.Width);
        // afmoe repeats its expert count under another key.
        Assert.Equal(4, Published("afmoe", c => c["num_local_experts"] = 4).Layers[1].Blocks.OfType<MixtureSpec>().Single().Experts.Count);
    }

    /// <summary>Which projections a bias setting means.</summary>
    [Fact]
    public void BiasSettings()
    {
        Assert.DoesNotContain(Published("solar_open", c => c["attention_bias"] = true, """
            model.layers.{0-1}.self_attn.q_proj.bias 64
            model.layers.{0-1}.self_attn.{k_proj,v_proj}.bias 32
            """).Layers[0].Linears, l => l.Module == "self_attn.o_proj" && l.HasBias);
        Assert.Equal("lm_head.bias", Published("ernie4_5_moe", c => c["use_bias"] = true, """
            lm_head.bias 50
            model.layers.{0-1}.self_attn.{q_proj,o_proj}.bias 64
            model.layers.{0-1}.self_attn.{k_proj,v_proj}.bias 32
            model.layers.0.mlp.{gate_proj,up_proj}.bias 96
            model.layers.0.mlp.down_proj.bias 64
            model.layers.1.mlp.shared_experts.{gate_proj,up_proj}.bias 64
            model.layers.1.mlp.shared_experts.down_proj.bias 64
            """).Head.Bias);
        Assert.Equal(6, Published("deepseek_v2-lite", c => c["mlp_bias"] = true, """
            model.layers.0.mlp.{gate_proj,up_proj}.bias 96
            model.layers.0.mlp.down_proj.bias 64
            model.layers.1.mlp.shared_experts.{gate_proj,up_proj}.bias 64
            model.layers.1.mlp.shared_experts.down_proj.bias 64
            """).Layers.Sum(l => l.Linears.Count(m => m.HasBias)));
        using var model = ModelFolder.Open(Path.Combine(Repository.Root, "tests", "data", "tiny", "qwen2_moe"));
        var config = model.Config.Root.DeepClone().AsObject();
        config["qkv_bias"] = false;
        var shapes = model.Tensors.Where(t => !t.Key.EndsWith("_proj.bias", StringComparison.Ordinal)).ToDictionary(t => t.Key, t => t.Value.Shape);
        Assert.All(Repository.Catalog.Resolve(config, shapes).Layers.SelectMany(l => l.Linears), l => Assert.False(l.HasBias));
        // glm's query, key and value have biases unless the config says otherwise.
        Assert.True(Attention(Published("glm", Without("attention_bias"))).Bias);
        Assert.False(Attention(Published("glm", c => c["attention_bias"] = false, less: "model.layers.{0-1}.self_attn.{q_proj,k_proj,v_proj}.bias")).Bias);
    }

    /// <summary>Windows: gpt_neo's pairs of a pattern and a count, smollm3's kinds of layers.</summary>
    [Fact]
    public void Windows()
    {
        var neo = Published("gpt_neo", c => (c["attention_types"], c["attention_layers"]) = (JsonNode.Parse("""[[["local"],1],[["global","local"],1]]"""), null));
        Assert.Equal([8, 0], neo.Layers.Select((_, i) => Attention(neo, i).Window));
        var smol = Tiny("smollm3", c => (c["layer_types"], c["sliding_window"], c["use_sliding_window"]) =
            (JsonNode.Parse("""["full_attention","sliding_attention"]"""), 9, false));
        Assert.Equal([0, 9], smol.Layers.Select((_, i) => Attention(smol, i).Window));
    }

    /// <summary>The length before stretching, in order of precedence: at the top, beside the factors, the model's own.</summary>
    [Theory]
    [InlineData(24, 16, 24)]
    [InlineData(null, 16, 16)]
    [InlineData(null, null, 64)]
    public void LengthBeforeStretching(int? top, int? inside, double expected)
    {
        var graph = Published("arcee", c =>
        {
            if (top is not null)
                c["original_max_position_embeddings"] = top;
            c["rope_scaling"]!["original_max_position_embeddings"] = inside;
        });
        Assert.Equal(expected, Attention(graph).Rotary!.Scaling!.OriginalPositions);
    }

    /// <summary>minimax_m2 counts the channels of a head that turn; heads of other families that turn in part agree with transformers.</summary>
    [Fact]
    public void ChannelsThatTurn()
    {
        Assert.Equal(8, Attention(Published("minimax_m2", _ => { })).Rotary!.Dims);
        Assert.Equal(4, Attention(Published("minimax_m2", c => c["rotary_dim"] = 4)).Rotary!.Dims);
        Assert.Equal(12, Attention(Published("minimax_m2", c => c["partial_rotary_factor"] = 0.75)).Rotary!.Dims);
        Assert.Equal(16, Attention(Published("minimax_m2", Without("rotary_dim"))).Rotary!.Dims);
    }

    /// <summary>A config value that would change the function and is not followed is an error that names the key.</summary>
    [Theory]
    [InlineData("apertus", "post_norm", "true")]
    [InlineData("bamba", "partial_rotary_factor", "1.0")]
    [InlineData("minimax_m2", "shared_intermediate_size", "32")]
    [InlineData("hunyuan_v1_dense", "use_cla", "true")]
    public void ValuesThatAreNotFollowedAreErrors(string name, string key, string value)
    {
        var error = Assert.Throws<AwqException>(() => Published(name, c => c[key] = JsonNode.Parse(value)));
        Assert.Equal("ConfigValueNotSupported", error.Id);
        Assert.Contains($"'{key}'", error.Message);
    }
}
