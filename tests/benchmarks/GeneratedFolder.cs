using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Benchmarks;

/// <summary>Writes a model of any shape with random weights in bfloat16, and token ids to calibrate on, as a Hugging Face folder.</summary>
internal static class GeneratedFolder
{
    /// <summary>The folder's name within it that holds calibration tokens.</summary>
    public const string Tokens = "tokens.safetensors";

    /// <summary>A Llama, or with experts a Qwen 3 MoE, or with latent attention as well a DeepSeek V3 (8 groups of experts, one shared, first layer dense).</summary>
    public static void Write(string folder, int hidden, int intermediate, int heads, int kvHeads, int layers, int vocabulary, int experts = 0, int perToken = 0, bool latent = false)
    {
        Directory.CreateDirectory(folder);
        var config = new JsonObject
        {
            ["model_type"] = latent ? "deepseek_v3" : experts > 0 ? "qwen3_moe" : "llama", ["hidden_size"] = hidden, ["intermediate_size"] = intermediate, ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = kvHeads, ["num_hidden_layers"] = layers, ["vocab_size"] = vocabulary, ["rms_norm_eps"] = 1e-5,
            ["max_position_embeddings"] = 8192, ["tie_word_embeddings"] = true, ["hidden_act"] = "silu", ["head_dim"] = hidden / heads, ["torch_dtype"] = "bfloat16",
        };
        var head = hidden / heads;
        if (latent)
        {
            foreach (var (key, value) in new Dictionary<string, int>
            {
                ["n_routed_experts"] = experts, ["num_experts_per_tok"] = perToken, ["n_shared_experts"] = 1, ["moe_intermediate_size"] = intermediate, ["n_group"] = 8,
                ["topk_group"] = 4, ["first_k_dense_replace"] = 1, ["q_lora_rank"] = hidden / 4, ["kv_lora_rank"] = hidden / 4, ["qk_nope_head_dim"] = head,
                ["qk_rope_head_dim"] = head / 2, ["v_head_dim"] = head,
            })
                config[key] = value;
            config.Remove("head_dim");
        }
        else if (experts > 0)
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
            Add(p + "self_attn.o_proj.weight", 1, hidden, hidden);
            if (latent)
            {
                Add(p + "self_attn.q_a_proj.weight", 1, hidden / 4, hidden);
                Add(p + "self_attn.q_a_layernorm.weight", 0, hidden / 4);
                Add(p + "self_attn.q_b_proj.weight", 1, heads * (head + head / 2), hidden / 4);
                Add(p + "self_attn.kv_a_proj_with_mqa.weight", 1, hidden / 4 + head / 2, hidden);
                Add(p + "self_attn.kv_a_layernorm.weight", 0, hidden / 4);
                Add(p + "self_attn.kv_b_proj.weight", 1, heads * 2 * head, hidden / 4);
            }
            else
            {
                Add(p + "self_attn.q_proj.weight", 1, hidden, hidden);
                Add(p + "self_attn.k_proj.weight", 1, kv, hidden);
                Add(p + "self_attn.v_proj.weight", 1, kv, hidden);
            }
            if (experts > 0 && !latent)
            {
                Add(p + "self_attn.q_norm.weight", 0, head);
                Add(p + "self_attn.k_norm.weight", 0, head);
            }
            if (experts == 0 || latent && i == 0)
            {
                Mlp(p + "mlp.");
                continue;
            }
            Add(p + "mlp.gate.weight", 1, experts, hidden);
            if (latent)
            {
                Add(p + "mlp.gate.e_score_correction_bias", 0, experts);
                Mlp(p + "mlp.shared_experts.");
            }
            for (var e = 0; e < experts; e++)
                Mlp($"{p}mlp.experts.{e}.");
        }
        PartFile.Write(Path.Combine(folder, ModelFolder.SingleFile), tensors);
        var random = new Random(3);
        PartFile.Write(Path.Combine(folder, Tokens), [TensorPayload.From("ids", TensorDtype.I32, [128, 512], Enumerable.Range(0, 128 * 512).Select(_ => random.Next(vocabulary)).ToArray())]);

        void Mlp(string module)
        {
            Add(module + "gate_proj.weight", 1, intermediate, hidden);
            Add(module + "up_proj.weight", 1, intermediate, hidden);
            Add(module + "down_proj.weight", 1, hidden, intermediate);
        }

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
