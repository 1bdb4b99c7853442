using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Benchmarks;

/// <summary>Writes a model of any shape with random weights in bfloat16, and token ids to calibrate on, as a Hugging Face folder.</summary>
internal static class GeneratedFolder
{
    /// <summary>The folder's name within it that holds calibration tokens.</summary>
    public const string Tokens = "tokens.safetensors";

    /// <summary>A Llama, or with experts a Qwen 3 MoE.</summary>
    public static void Write(string folder, int hidden, int intermediate, int heads, int kvHeads, int layers, int vocabulary, int experts = 0, int perToken = 0)
    {
        Directory.CreateDirectory(folder);
        var config = new JsonObject
        {
            ["model_type"] = experts > 0 ? "qwen3_moe" : "llama", ["hidden_size"] = hidden, ["intermediate_size"] = intermediate, ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = kvHeads, ["num_hidden_layers"] = layers, ["vocab_size"] = vocabulary, ["rms_norm_eps"] = 1e-5,
            ["max_position_embeddings"] = 8192, ["tie_word_embeddings"] = true, ["hidden_act"] = "silu", ["head_dim"] = hidden / heads, ["torch_dtype"] = "bfloat16",
        };
        if (experts > 0)
        {
            config["num_experts"] = experts;
            config["num_experts_per_tok"] = perToken;
            config["moe_intermediate_size"] = intermediate;
            config["norm_topk_prob"] = true;
            config["decoder_sparse_step"] = 1;
            config["mlp_only_layers"] = new JsonArray();
        }
        File.WriteAllText(Path.Combine(folder, ModelFolder.ConfigFile), config.ToJsonString());
        var tensors = new List<TensorPayload>();
        long kv = hidden / heads * kvHeads;
        Add("model.embed_tokens.weight", 1, vocabulary, hidden);
        Add("model.norm.weight", 0, hidden);
        for (var i = 0; i < layers; i++)
        {
            var p = $"model.layers.{i}.";
            Add(p + "input_layernorm.weight", 0, hidden);
            Add(p + "post_attention_layernorm.weight", 0, hidden);
            Add(p + "self_attn.q_proj.weight", 1, hidden, hidden);
            Add(p + "self_attn.k_proj.weight", 1, kv, hidden);
            Add(p + "self_attn.v_proj.weight", 1, kv, hidden);
            Add(p + "self_attn.o_proj.weight", 1, hidden, hidden);
            if (experts > 0)
            {
                Add(p + "self_attn.q_norm.weight", 0, hidden / heads);
                Add(p + "self_attn.k_norm.weight", 0, hidden / heads);
                Add(p + "mlp.gate.weight", 1, experts, hidden);
            }
            for (var e = 0; e < Math.Max(1, experts); e++)
            {
                var mlp = experts > 0 ? $"{p}mlp.experts.{e}." : p + "mlp.";
                Add(mlp + "gate_proj.weight", 1, intermediate, hidden);
                Add(mlp + "up_proj.weight", 1, intermediate, hidden);
                Add(mlp + "down_proj.weight", 1, hidden, intermediate);
            }
        }
        PartFile.Write(Path.Combine(folder, ModelFolder.SingleFile), tensors);
        var random = new Random(3);
        PartFile.Write(Path.Combine(folder, Tokens), [TensorPayload.From("ids", TensorDtype.I32, [128, 512], Enumerable.Range(0, 128 * 512).Select(_ => random.Next(vocabulary)).ToArray())]);

        void Add(string name, int kind, params long[] shape) => tensors.Add(new TensorPayload(name, TensorDtype.BF16, shape, stream =>
        {
            // A pool of normal numbers, read from places that the name decides: fast, and different for every tensor.
            var count = shape.Aggregate(1L, (a, b) => a * b);
            var start = (int)(name.Aggregate(17u, (h, c) => h * 31 + c) % (uint)Pool.Length);
            var scale = kind == 0 ? 0 : (float)Math.Pow(shape[^1], -0.5);
            var buffer = new byte[2 << 16];
            for (long done = 0; done < count; done += 1 << 16)
            {
                var length = (int)Math.Min(1 << 16, count - done);
                for (var i = 0; i < length; i++)
                {
                    start = start + 1 == Pool.Length ? 0 : start + 1;
                    var value = BitConverter.SingleToUInt32Bits(kind == 0 ? 1 + 0.1f * Pool[start] : scale * Pool[start]);
                    (buffer[2 * i], buffer[2 * i + 1]) = ((byte)(value >> 16), (byte)(value >> 24));
                }
                stream.Write(buffer, 0, 2 * length);
            }
        }));
    }

    private static readonly float[] Pool = MakePool();

    private static float[] MakePool()
    {
        var random = new Random(1);
        var pool = new float[(1 << 20) + 7];
        for (var i = 0; i < pool.Length; i++)
            pool[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return pool;
    }
}
