using System.Globalization;
using System.Text.RegularExpressions;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>A process whose address space the kernel bounds: libtorch's own error reaches the retreat, and the run goes on.</summary>
public sealed partial class OutOfMemoryTests(ITestOutputHelper output) : IDisposable
{
    // The sizes of heaps and arenas are made the same for all runs, so that what differs is what the run asks for.
    private static readonly Dictionary<string, string> Tame = new() { ["DOTNET_GCHeapHardLimit"] = "10000000", ["MALLOC_ARENA_MAX"] = "1", ["DOTNET_gcConcurrent"] = "0" };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void AnAllocationThatTheSystemRefusesIsMetWithFewerRowsAtOnce()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Skip("ulimit -v bounds processes on Linux");
        WriteModel();
        long needed;
        using (var free = new RunProcess(Options("free"), Tame))
        {
            Assert.True(free.Finish() == 0, free.Said);
            Assert.DoesNotContain("MicroBatchReduced", free.Said);
            needed = long.Parse(Virtual().Match(free.Said).Groups[1].Value, CultureInfo.InvariantCulture);
        }
        // Four rows of 512 tokens at once take 128 MB for each of the wide activations, two rows half of that. What of it coexists, and
        // how much the runtime itself takes, differs a little: the bound is lowered until it is met.
        var said = "";
        for (var less = 64; less <= 320 && !said.Contains("MicroBatchReduced", StringComparison.Ordinal); less += 64)
        {
            using var bound = new RunProcess(Options("bound") with { Force = true }, Tame, $"ulimit -v {needed / 1024 - (less << 10)}");
            Assert.True(bound.Finish() == 0, $"{less} MB less than {needed}: {bound.Said}");
            said = bound.Said;
        }
        output.WriteLine(said);
        Assert.Matches("warning MicroBatchReduced .*DefaultCPUAllocator", said);
        Assert.Contains("done Quantized", said);
        Assert.Contains("lengths 512", said);
        using var model = ModelFolder.Open(temporary.File("bound"));
        Assert.Contains("model.layers.0.mlp.up_proj.qweight", model.Tensors.Keys);
        Assert.Empty(Directory.GetDirectories(temporary.Path, "*.awq-run"));
    }

    /// <summary>A Llama of one layer with a very wide MLP.</summary>
    private void WriteModel()
    {
        const int Hidden = 64, Inner = 16384, Vocabulary = 96;
        var random = new Random(1);
        temporary.Write("model/config.json", $$"""
            {"model_type":"llama","hidden_size":{{Hidden}},"intermediate_size":{{Inner}},"num_attention_heads":2,"num_key_value_heads":1,"num_hidden_layers":1,
             "vocab_size":{{Vocabulary}},"rms_norm_eps":1e-5,"max_position_embeddings":512,"tie_word_embeddings":true,"hidden_act":"silu","head_dim":32,"torch_dtype":"float32"}
            """);
        PartFile.Write(temporary.File("model/model.safetensors"),
        [
            Tensor("model.embed_tokens.weight", Vocabulary, Hidden), Tensor("model.norm.weight", Hidden),
            Tensor("model.layers.0.input_layernorm.weight", Hidden), Tensor("model.layers.0.post_attention_layernorm.weight", Hidden),
            Tensor("model.layers.0.self_attn.q_proj.weight", Hidden, Hidden), Tensor("model.layers.0.self_attn.k_proj.weight", Hidden / 2, Hidden),
            Tensor("model.layers.0.self_attn.v_proj.weight", Hidden / 2, Hidden), Tensor("model.layers.0.self_attn.o_proj.weight", Hidden, Hidden),
            Tensor("model.layers.0.mlp.gate_proj.weight", Inner, Hidden), Tensor("model.layers.0.mlp.up_proj.weight", Inner, Hidden),
            Tensor("model.layers.0.mlp.down_proj.weight", Hidden, Inner),
        ]);
        PartFile.Write(temporary.File("ids.safetensors"), [TensorPayload.From("ids", TensorDtype.I32, [4, 512], Enumerable.Range(0, 2048).Select(_ => random.Next(Vocabulary)).ToArray())]);

        TensorPayload Tensor(string name, params long[] shape) => TensorPayload.From(name, TensorDtype.F32, shape,
            Enumerable.Range(0, (int)shape.Aggregate((a, b) => a * b)).Select(_ => shape.Length == 1 ? 1 : (random.NextSingle() - 0.5f) / 8).ToArray());
    }

    private QuantizationOptions Options(string name) => new()
    {
        ModelPath = temporary.File("model"), ModuleRoot = SharedData.Repository("module"), OutputPath = temporary.File(name), ForceCpu = true, GroupSize = 32,
        // A Gram matrix of its inputs would take more than all else. The limit is said, for else that of the runtime's heap counts.
        ExcludeModule = ["down_proj"], MemoryLimit = 4L << 30, SampleCount = 4, SequenceLength = 512, CalibrationData = [temporary.File("ids.safetensors")],
    };

    [GeneratedRegex("virtual ([0-9]+)")]
    private static partial Regex Virtual();
}
