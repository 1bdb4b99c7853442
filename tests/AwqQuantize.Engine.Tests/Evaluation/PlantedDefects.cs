using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>Ways to spoil a finished checkpoint, each with the check that has to notice.</summary>
internal static class PlantedDefects
{
    private const string Layer = "model.layers.1.";
    private const string Query = Layer + "self_attn.q_proj";
    private const string Down = Layer + "mlp.down_proj";
    private static readonly int[] Order = [0, 2, 4, 6, 1, 3, 5, 7];

    public static readonly IReadOnlyDictionary<string, (string Check, Action<Surgery> Plant)> All = new Dictionary<string, (string, Action<Surgery>)>
    {
        ["config missing"] = ("Files", s => s.Delete("config.json")),
        ["weights missing"] = ("Files", s => s.Delete("model.safetensors")),
        ["tokenizer empty"] = ("Files", s => s.Write("tokenizer.json", "")),
        ["temporary file left"] = ("Files", s => s.Write("model-00002-of-00002.safetensors.tmp", "x")),
        ["weights in pickle"] = ("Files", s => s.Write("pytorch_model.bin", "x")),
        ["program code"] = ("Files", s => s.Write("modeling_llama.py", "x")),
        ["index beside single file"] = ("Files", s => s.Write("model.safetensors.index.json", """{"weight_map":{"a":"model.safetensors"}}""")),
        ["file truncated"] = ("Shards", s => File.WriteAllBytes(s.File("model.safetensors"), File.ReadAllBytes(s.File("model.safetensors"))[..^100])),
        ["header damaged"] = ("Shards", s => s.Write("model.safetensors", "\u0010\0\0\0\0\0\0\0{\"a\": nonsense  }")),
        ["shard missing"] = ("Shards", s => { s.Shard(); s.Delete("model-00002-of-00002.safetensors"); }),
        ["shard not in index"] = ("Shards", s => { s.Shard(); File.Copy(s.File("model-00001-of-00002.safetensors"), s.File("model-00003-of-00003.safetensors")); }),
        ["tensor not in index"] = ("Shards", s => s.Shard(i => i["weight_map"]!.AsObject().Remove(Query + ".scales"))),
        ["tensor in another shard"] = ("Shards", s => s.Shard(i => i["weight_map"]!["model.norm.weight"] =
            i["weight_map"]!["model.norm.weight"]!.ToString().Contains("00001") ? "model-00002-of-00002.safetensors" : "model-00001-of-00002.safetensors")),
        ["wrong total size"] = ("Shards", s => s.Shard(i => i["metadata"]!["total_size"] = 1)),
        ["format not named"] = ("Shards", s => s.Tensors(_ => { }, format: false)),
        ["other method"] = ("Config", s => s.Quantization(q => q["quant_method"] = "gptq")),
        ["other width"] = ("Config", s => s.Quantization(q => q["bits"] = 8)),
        ["no zero points"] = ("Config", s => s.Quantization(q => q["zero_point"] = false)),
        ["other layout"] = ("Config", s => s.Quantization(q => q["version"] = "gemv")),
        ["no quantisation named"] = ("Config", s => s.Json("config.json", c => c.Remove("quantization_config"))),
        ["config is no JSON"] = ("Config", s => s.Write("config.json", "{")),
        ["type bfloat16"] = ("Config", s => s.Json("config.json", c => c["torch_dtype"] = "bfloat16")),
        ["other epsilon"] = ("Config", s => s.Json("config.json", c => c["rms_norm_eps"] = 1e-6)),
        ["other rotary base"] = ("Config", s => s.Json("config.json", c => c["rope_theta"] = 500000.0)),
        ["setting lost"] = ("Config", s => s.Json("config.json", c => c.Remove("rms_norm_eps"))),
        ["fewer layers"] = ("Architecture", s => s.Json("config.json", c => c["num_hidden_layers"] = 3)),
        ["norm missing"] = ("Architecture", s => s.Tensors(t => t.Remove(Layer + "input_layernorm.weight"))),
        ["unknown tensor"] = ("Architecture", s => s.Tensors(t => t["model.layers.1.adapter.weight"] = t["model.norm.weight"])),
        ["norm of the wrong size"] = ("Architecture", s => s.Tensors(t => t["model.norm.weight"] = new("F16", [64], new byte[128]))),
        ["wrong group size"] = ("Tensors", s => s.Quantization(q => q["group_size"] = 64)),
        ["zero points missing"] = ("Tensors", s => s.Tensors(t => t.Remove(Query + ".qzeros"))),
        ["scales missing"] = ("Tensors", s => s.Tensors(t => t.Remove(Query + ".scales"))),
        ["codes missing"] = ("Tensors", s => s.Tensors(t => t.Remove(Query + ".qweight"))),
        ["scales in bfloat16"] = ("Tensors", s => s.Tensors(t => t[Query + ".scales"] = t[Query + ".scales"] with { Dtype = "BF16" })),
        ["codes transposed"] = ("Tensors", s => s.Tensors(t => t[Down + ".qweight"] = t[Down + ".qweight"] with { Shape = [16, 384] })),
        ["codes as bytes"] = ("Tensors", s => s.Tensors(t => t[Query + ".qweight"] = t[Query + ".qweight"] with { Dtype = "U8", Shape = [128, 64] })),
        ["group index"] = ("Tensors", s => s.Tensors(t => t[Query + ".g_idx"] = new("I32", [128], new byte[512]))),
        ["float weight beside codes"] = ("Tensors", s => s.Tensors(t => t[Query + ".weight"] = new("F16", [128, 128], new byte[32768]))),
        ["norm in float32"] = ("Tensors", s => s.Tensors(t => t["model.norm.weight"] = new("F32", [128], Enumerable.Repeat(BitConverter.GetBytes(1f), 128).SelectMany(b => b).ToArray()))),
        ["scale zero"] = ("Scales", s => s.Halves(Query + ".scales", (i, v) => i == 7 ? Half.Zero : v)),
        ["scale not a number"] = ("Scales", s => s.Halves(Query + ".scales", (i, v) => i == 7 ? Half.NaN : v)),
        ["scale infinite"] = ("Scales", s => s.Halves(Query + ".scales", (i, v) => i == 7 ? Half.PositiveInfinity : v)),
        ["scale negative"] = ("Scales", s => s.Halves(Query + ".scales", (i, v) => i == 7 ? -v : v)),
        ["scale overflows"] = ("Scales", s => s.Halves(Query + ".scales", (i, v) => i == 7 ? (Half)6000 : v)),
        ["codes all zero"] = ("Codes", s => s.Words(Query + ".qweight", (_, _) => 0)),
        ["zero points all zero"] = ("Codes", s => s.Words(Query + ".qzeros", (_, _) => 0)),
        ["half of the codes' bits"] = ("Codes", s => s.Words(Query + ".qweight", (_, w) => w & 0x77777777)),
        ["lowest bit lost"] = ("Codes", s => s.Words(Query + ".qweight", (_, w) => w & 0xEEEEEEEE)),
        ["embedding not a number"] = ("FloatTensors", s => s.Halves("model.embed_tokens.weight", (i, v) => i == 1000 ? Half.NaN : v)),
        ["embedding all zero"] = ("FloatTensors", s => s.Halves("model.embed_tokens.weight", (_, _) => Half.Zero)),
        ["norm all zero"] = ("FloatTensors", s => s.Halves("model.norm.weight", (_, _) => Half.Zero)),
        ["one sibling float"] = ("Siblings", s => { Unpack(s, Layer + "self_attn.k_proj"); s.Quantization(q => q["modules_to_not_convert"] = new JsonArray("lm_head", "1.self_attn.k_proj")); }),
        ["float module not named"] = ("Exclusions", s => Unpack(s, Down)),
        ["quantised module named"] = ("Exclusions", s => s.Quantization(q => q["modules_to_not_convert"] = new JsonArray("lm_head", "down_proj"))),
        ["name of no module"] = ("Exclusions", s => s.Quantization(q => q["modules_to_not_convert"] = new JsonArray("lm_head", "mlp.gate_projection"))),
        ["tokenizer missing"] = ("Tokenizer", s => s.Delete("tokenizer.json")),
        ["tokenizer's settings missing"] = ("Tokenizer", s => s.Delete("tokenizer_config.json")),
        ["tokenizer changed"] = ("Tokenizer", s => s.Json("tokenizer.json", t => t["version"] = "2.0")),
        ["tokenizer damaged"] = ("Tokenizer", s => s.Write("tokenizer.json", "{}")),
        ["sampling without sampling"] = ("GenerationConfig", s => s.Json("generation_config.json", g => { g["temperature"] = 0.6; g["do_sample"] = false; })),
        ["other end of text"] = ("GenerationConfig", s => s.Json("generation_config.json", g => g["eos_token_id"] = 5)),
        ["generation settings missing"] = ("GenerationConfig", s => s.Delete("generation_config.json")),
        ["octets in natural order"] = ("RoundTrip", s => s.Words(Down + ".qweight", (_, w) => Reorder(w))),
        ["zero points one less"] = ("RoundTrip", s => s.Words(Down + ".qzeros", (_, w) => LessOne(w))),
        ["modules swapped"] = ("RoundTrip", s => s.Tensors(t =>
        {
            foreach (var part in (string[])[".qweight", ".qzeros", ".scales"])
                (t[Query + part], t["model.layers.2.self_attn.q_proj" + part]) = (t["model.layers.2.self_attn.q_proj" + part], t[Query + part]);
        })),
        ["one channel's scale doubled"] = ("RoundTrip", s => s.Halves(Down + ".scales", (i, v) => i % 128 == 9 ? v * (Half)2 : v)),
        ["all scales halved"] = ("RoundTrip", s => s.Halves(Query + ".scales", (_, v) => v / (Half)4)),
        ["rows of codes shifted"] = ("RoundTrip", s => s.Bytes(Query + ".qweight", d => { var copy = d.ToArray(); copy.AsSpan(64).CopyTo(d); copy.AsSpan(0, 64).CopyTo(d.AsSpan(d.Length - 64)); })),
        ["fold lost in one channel"] = ("RoundTrip", s => s.Halves(Layer + "post_attention_layernorm.weight", (i, v) => i == 3 ? v * (Half)3 : v)),
        ["fold with the wrong sign"] = ("RoundTrip", s => s.Halves(Layer + "input_layernorm.weight", (i, v) => i == 3 ? -v : v)),
        ["embedding scaled"] = ("RoundTrip", s => s.Halves("model.embed_tokens.weight", (_, v) => v * (Half)1.05)),
        ["last norm scaled"] = ("RoundTrip", s => s.Halves("model.norm.weight", (_, v) => v * (Half)1.25)),
    };

    /// <summary>Puts the source's float weight in the place of a quantised module.</summary>
    private static void Unpack(Surgery surgery, string module) => surgery.Tensors(t =>
    {
        var source = Surgery.Read(Path.Combine(QuantizedSample.Source, "model.safetensors"))[module + ".weight"];
        foreach (var part in (string[])[".qweight", ".qzeros", ".scales"])
            t.Remove(module + part);
        // bfloat16 holds the upper half of a float32.
        t[module + ".weight"] = new("F16", source.Shape, [.. source.Data.Chunk(2).SelectMany(b => BitConverter.GetBytes((Half)BitConverter.ToSingle([0, 0, b[0], b[1]])))]);
    });

    private static uint Reorder(uint word)
    {
        uint result = 0;
        for (var i = 0; i < 8; i++)
            result |= (word >> (4 * i) & 15) << (4 * Order[i]);
        return result;
    }

    private static uint LessOne(uint word)
    {
        uint result = 0;
        for (var i = 0; i < 8; i++)
            result |= (uint)Math.Max(0, (int)(word >> (4 * i) & 15) - 1) << (4 * i);
        return result;
    }
}
