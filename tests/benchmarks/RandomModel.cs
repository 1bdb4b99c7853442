using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Benchmarks;

/// <summary>A Llama of any shape with random weights, made when they are asked for: speed and memory do not depend on their values.</summary>
internal sealed class RandomModel : ITensorSource
{
    private readonly Dictionary<string, long[]> shapes = [];

    public RandomModel(int hidden, int intermediate, int heads, int kvHeads, int layers, int vocabulary)
    {
        Config = new JsonObject
        {
            ["model_type"] = "llama", ["hidden_size"] = hidden, ["intermediate_size"] = intermediate, ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = kvHeads, ["num_hidden_layers"] = layers, ["vocab_size"] = vocabulary, ["rms_norm_eps"] = 1e-5,
            ["max_position_embeddings"] = 8192, ["tie_word_embeddings"] = true, ["hidden_act"] = "silu",
        };
        long kv = hidden / heads * kvHeads;
        shapes["model.embed_tokens.weight"] = [vocabulary, hidden];
        shapes["model.norm.weight"] = [hidden];
        for (var i = 0; i < layers; i++)
        {
            var p = $"model.layers.{i}.";
            shapes[p + "input_layernorm.weight"] = [hidden];
            shapes[p + "post_attention_layernorm.weight"] = [hidden];
            shapes[p + "self_attn.q_proj.weight"] = [hidden, hidden];
            shapes[p + "self_attn.k_proj.weight"] = [kv, hidden];
            shapes[p + "self_attn.v_proj.weight"] = [kv, hidden];
            shapes[p + "self_attn.o_proj.weight"] = [hidden, hidden];
            shapes[p + "mlp.gate_proj.weight"] = [intermediate, hidden];
            shapes[p + "mlp.up_proj.weight"] = [intermediate, hidden];
            shapes[p + "mlp.down_proj.weight"] = [hidden, intermediate];
        }
    }

    public JsonObject Config { get; }

    public ModelGraph Graph => ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures")).Resolve(Config, shapes);

    public bool Contains(string name) => shapes.ContainsKey(name);

    public long[] Shape(string name) => shapes[name];

    public Tensor Read(string name, Device device)
    {
        var shape = shapes[name];
        manual_seed(name.Aggregate(17, (h, c) => h * 31 + c));
        return shape.Length == 1 ? rand(shape, device: device).mul_(0.5f).add_(0.75f) : randn(shape, device: device).mul_((float)Math.Pow(shape[1], -0.5));
    }
}
