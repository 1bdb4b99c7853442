using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Architectures;

/// <summary>Descriptions that users write, models of unknown types, and configs and checkpoints that do not fit.</summary>
public sealed class DescriptionTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("awq-architectures-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private static (JsonObject Config, Dictionary<string, long[]> Shapes) Tiny(string name)
    {
        using var model = ModelFolder.Open(Path.Combine(TinyModel.Root, name));
        return (model.Config.Root.DeepClone().AsObject(), model.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
    }

    private string Write(string name, string json)
    {
        var file = Path.Combine(folder, name + ".json");
        File.WriteAllText(file, json);
        return file;
    }

    /// <summary>Llama under other names, with a config of other keys.</summary>
    [Fact]
    public void AFamilyWithOtherNamesNeedsADescriptionOnly()
    {
        Write("wombat", """
            {
              "model_type": ["wombat"],
              "extends": "llama",
              "roots": ["burrow."],
              "let": { "hidden": "$width", "layers": "$depth", "heads": "$ears", "kv_heads": "$ears / 2", "intermediate": "$pouch", "activation": "'silu'" },
              "embedding": { "tokens": "{root}words" },
              "layer": {
                "prefix": "{root}den.{i}",
                "blocks": {
                  "attention": { "norm": "n1", "query": "dig.q", "key": "dig.k", "value": "dig.v", "output": "dig.o" },
                  "mlp": { "norm": "n2", "gate": "eat.g", "up": "eat.u", "down": "eat.d" }
                }
              },
              "final_norm": "{root}last", "head": { "name": "speak" }
            }
            """);
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open("llama");
        var names = new Dictionary<string, string>
        {
            ["model.embed_tokens"] = "burrow.words", ["model.norm"] = "burrow.last", ["model.layers"] = "burrow.den", ["lm_head"] = "speak",
            ["input_layernorm"] = "n1", ["post_attention_layernorm"] = "n2", ["self_attn.q_proj"] = "dig.q", ["self_attn.k_proj"] = "dig.k",
            ["self_attn.v_proj"] = "dig.v", ["self_attn.o_proj"] = "dig.o", ["mlp.gate_proj"] = "eat.g", ["mlp.up_proj"] = "eat.u", ["mlp.down_proj"] = "eat.d",
        };
        string Renamed(string name) => names.Aggregate(name, (n, pair) => n.Replace(pair.Key, pair.Value));
        var renamed = new RenamedSource(tiny.Source, tiny.Source.Shapes.Keys.ToDictionary(Renamed));
        var config = JsonNode.Parse("""{"model_type":"wombat","width":128,"depth":2,"ears":4,"pouch":256,"vocab_size":160,"rms_norm_eps":1e-6}""")!.AsObject();
        var graph = ArchitectureCatalog.Load(Repository.Architectures, folder)
            .Resolve(config, tiny.Source.Shapes.ToDictionary(s => Renamed(s.Key), s => s.Value));
        Assert.Equal("wombat", graph.Family);
        using var model = DecoderModel.Open(graph, renamed, CPU);
        var hidden = model.Embed(tiny.Ids);
        for (var i = 0; i < 2; i++)
        {
            using var layer = model.LoadLayer(i);
            hidden = layer.Forward(hidden);
        }
        Assert.True(model.Logits(hidden).sub(tiny.Float("logits")).abs().max().item<float>() < 1e-3);
        Assert.Equal(["dig.q", "dig.k", "dig.v"], graph.Layers[0].ScaleGroups[0].Consumers.Select(c => c.Module));
    }

    [Theory]
    [InlineData("llama", "llama")]
    [InlineData("qwen2", "qwen2")]
    [InlineData("qwen3_moe", "qwen3_moe")]
    [InlineData("gpt_neox", "gpt_neox")]
    [InlineData("bloom", "bloom")]
    [InlineData("deepseek_v3", "deepseek_v3")]
    [InlineData("gpt_oss", "gpt_oss")]
    public void AnUnknownTypeIsMatchedByItsTensorsAndConfig(string name, string family)
    {
        var (config, shapes) = Tiny(name);
        config["model_type"] = "unheard_of";
        var graph = Repository.Catalog.Resolve(config, shapes);
        Assert.True(graph.MatchedByShape);
        Assert.Equal(family, graph.Family);
        Assert.Equal("unheard_of", graph.ModelType);
    }

    [Fact]
    public void OfAnUnknownTypeWithForeignTensorsOnlyTheLinearsAreKnown()
    {
        var (config, shapes) = Tiny("llama");
        config["model_type"] = "unheard_of";
        shapes["model.layers.0.mystery.weight"] = [4, 4];
        var graph = Repository.Catalog.Resolve(config, shapes);
        Assert.True(graph.LinearsOnly);
        Assert.Equal(shapes.Keys.Order(), graph.OuterTensors.Select(t => t.Name).Concat(graph.Layers.SelectMany(l => l.TensorNames)).Order());
        // What has no layers is nothing that could be quantised.
        var flat = new Dictionary<string, long[]> { ["a.weight"] = [64, 64] };
        Assert.Equal("ArchitectureNotSupported", Assert.Throws<AwqException>(() => Repository.Catalog.Resolve(config, flat)).Id);
    }

    [Fact]
    public void AModelThatAlsoSeesIsNotATextModel()
    {
        var (_, shapes) = Tiny("llama");
        var config = JsonNode.Parse("""{"model_type":"seeing_llama","text_config":{},"vision_config":{}}""")!.AsObject();
        var error = Assert.Throws<AwqException>(() => Repository.Catalog.Resolve(config, shapes));
        Assert.Equal("ArchitectureNotSupported", error.Id);
        Assert.Contains("text", error.Message);
    }

    /// <summary>Values that change the function and are not honoured: each is an error that names its key.</summary>
    [Theory]
    [InlineData("llama", "hidden_act", "\"selu\"", "hidden_act")]
    [InlineData("llama", "hidden_act", "3", "hidden_act")]
    [InlineData("llama", "num_key_value_heads", "3", "num_key_value_heads")]
    [InlineData("llama", "attn_logit_softcapping", "30.0", "attn_logit_softcapping")]
    [InlineData("llama", "num_local_experts", "8", "num_local_experts")]
    [InlineData("llama", "clip_qkv", "8.0", "clip_qkv")]
    [InlineData("llama_rope3", "rope_scaling", "{\"rope_type\":\"spiral\",\"factor\":2.0}", "rope_scaling.rope_type")]
    [InlineData("llama_rope3", "rope_scaling", "{\"type\":\"linear\"}", "rope_scaling.factor")]
    [InlineData("llama_rope3", "rope_scaling", "{\"rope_type\":\"linear\",\"factor\":2.0,\"twist\":1}", "rope_scaling.twist")]
    [InlineData("llama_rope3", "rope_scaling", "{\"rope_type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1]}", "rope_scaling.short_factor")]
    [InlineData("qwen3", "layer_types", "[\"full_attention\",\"linear_attention\"]", "layer_types")]
    [InlineData("gemma3_text", "use_bidirectional_attention", "true", "use_bidirectional_attention")]
    [InlineData("deepseek_v3", "scoring_func", "\"softmax\"", "scoring_func")]
    [InlineData("deepseek_v2", "topk_method", "\"noaux_tc\"", "topk_method")]
    [InlineData("mpt", "attn_config", "{\"qk_ln\":true}", "attn_config.qk_ln")]
    [InlineData("gpt_neox", "rotary_pct", "0.3", "rotary_pct")]
    public void AValueThatIsNotHonouredIsAnErrorThatNamesItsKey(string name, string key, string value, string named)
    {
        var (config, shapes) = Tiny(name);
        config[key] = JsonNode.Parse(value);
        var error = Assert.Throws<AwqException>(() => Repository.Catalog.Resolve(config, shapes));
        Assert.Equal("ConfigValueNotSupported", error.Id);
        Assert.Contains($"'{named}'", error.Message);
    }

    [Fact]
    public void AMissingKeyIsNamed()
    {
        var (config, shapes) = Tiny("llama");
        config.Remove("hidden_size");
        var error = Assert.Throws<AwqException>(() => Repository.Catalog.Resolve(config, shapes));
        Assert.Equal("ConfigKeyMissing", error.Id);
        Assert.Contains("'hidden_size'", error.Message);
    }

    [Fact]
    public void TensorsThatAreMissingMisshapenOrUnclaimedAreNamed()
    {
        const string tensor = "model.layers.1.mlp.up_proj.weight";
        AssertError("TensorMissing", tensor, shapes => shapes.Remove(tensor));
        AssertError("TensorShapeMismatch", tensor, shapes => shapes[tensor] = [128, 256]);
        AssertError("TensorUnclaimed", "model.layers.1.self_attn.q_proj.bias", shapes => shapes["model.layers.1.self_attn.q_proj.bias"] = [128]);
        AssertError("TensorUnclaimed", "model.layers.2.mlp.up_proj.weight", shapes => shapes["model.layers.2.mlp.up_proj.weight"] = [256, 128]);

        static void AssertError(string id, string named, Action<Dictionary<string, long[]>> change)
        {
            var (config, shapes) = Tiny("llama");
            change(shapes);
            var error = Assert.Throws<AwqException>(() => Repository.Catalog.Resolve(config, shapes));
            Assert.Equal(id, error.Id);
            Assert.Contains($"'{named}'", error.Message);
        }
    }

    [Fact]
    public void KnownJunkIsToleratedAndListed()
    {
        var (config, shapes) = Tiny("deepseek_v3");
        shapes["model.layers.2.mlp.up_proj.weight"] = [1];
        shapes["model.layers.0.self_attn.rotary_emb.inv_freq"] = [8];
        Assert.Equal(["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.2.mlp.up_proj.weight"], Repository.Catalog.Resolve(config, shapes).IgnoredTensors);
        (config, shapes) = Tiny("qwen2");
        shapes["lm_head.weight"] = [160, 128];
        Assert.Equal(["lm_head.weight"], Repository.Catalog.Resolve(config, shapes).IgnoredTensors);
        Assert.Equal(["model.layers.1.mlp.gate.e_score_correction_bias"], Repository.Catalog.Resolve(Tiny("glm4_moe").Config, Tiny("glm4_moe").Shapes).KeepFloat32);
    }

    [Theory]
    [InlineData("""{ "extends": "llama", "model_type": ["x"], "layer": { "blocks": { "mlp": { "gaet": "g" } } } }""", "layer.blocks.mlp.gaet")]
    [InlineData("""{ "extends": "llama", "model_type": ["x"], "layer": { "blocks": { "mlp": { "kind": "dense" } } } }""", "layer.blocks.mlp.kind")]
    [InlineData("""{ "extends": "llama", "model_type": ["x"], "layer": { "blocks": { "mlp": { "width": "3 *" } } } }""", "layer.blocks.mlp.width")]
    [InlineData("""{ "extends": "llama", "model_type": ["x"], "layer": { "blocks": { "mlp": { "bias": "yes sir" } } } }""", "layer.blocks.mlp.bias")]
    [InlineData("""{ "extends": "llama", "model_type": ["x"], "norm": { "kind": "batch" } }""", "norm.kind")]
    [InlineData("""{ "extends": "llama", "model_type": ["x"], "head": { "tied": 7 } }""", "head.tied")]
    [InlineData("""{ "extends": "lama", "model_type": ["x"] }""", "extends")]
    [InlineData("""{ "model_type": ["x"] }""", "embedding")]
    [InlineData("""{ "extends": "bad", "model_type": ["x"] }""", "extends")]
    [InlineData("""{ not json""", "bad.json")]
    public void AFaultyDescriptionIsAnErrorThatNamesFileAndKey(string json, string named)
    {
        var file = Write("bad", json);
        var error = Assert.Throws<AwqException>(() => ArchitectureCatalog.Load(Repository.Architectures, folder));
        Assert.Equal("ArchitectureInvalid", error.Id);
        Assert.Contains(file, error.Message);
        Assert.Contains(named, error.Message);
    }

    [Fact]
    public void WhatAUserWritesComesBeforeWhatShips()
    {
        Write("my-llama", """{ "extends": "llama", "model_type": ["llama"], "comment": "mine" }""");
        var (config, shapes) = Tiny("llama");
        Assert.Equal("my-llama", ArchitectureCatalog.Load(Repository.Architectures, folder).Resolve(config, shapes).Family);
        var second = Write("our-llama", """{ "extends": "llama", "model_type": ["llama"] }""");
        Assert.Contains(second, Assert.Throws<AwqException>(() => ArchitectureCatalog.Load(Repository.Architectures, folder)).Message);
    }

    /// <summary>A checkpoint under other names.</summary>
    private sealed class RenamedSource(ITensorSource inner, IReadOnlyDictionary<string, string> original) : ITensorSource
    {
        public bool Contains(string name) => original.ContainsKey(name);

        public long[] Shape(string name) => inner.Shape(original[name]);

        public Tensor Read(string name, Device device) => inner.Read(original[name], device);
    }
}
