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
        // Four rows of 512 tokens at once take 128 MB for each of the wide activations, two rows half of that. The runtime reserves less
        // where it is given less, so the bound follows what the run before has really taken, until it is met.
        var (said, bound) = ("", "ulimit -v unlimited");
        for (var attempt = 0; attempt < 10 && !said.Contains("MicroBatchReduced", StringComparison.Ordinal); attempt++)
        {
            using var run = new RunProcess(Options("made") with { Force = true }, Tame, bound);
            Assert.True(run.Finish() == 0, $"{bound}: {run.Said}");
            said = run.Said;
            bound = $"ulimit -v {(long.Parse(Virtual().Match(said).Groups[1].Value, CultureInfo.InvariantCulture) >> 10) - (80 << 10)}";
            output.WriteLine(bound);
        }
        output.WriteLine(said);
        Assert.Matches("warning MicroBatchReduced .*DefaultCPUAllocator", said);
        Assert.Contains("done Quantized", said);
        Assert.Contains("lengths 512", said);
        using var model = ModelFolder.Open(temporary.File("made"));
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
