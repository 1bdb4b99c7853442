using System.Globalization;
using System.Security.Cryptography;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>
/// A run is killed without warning, again and again and whenever it may be; the same command goes on, and what it makes in the end
/// has the bytes of a run that nobody disturbed. AWQ_KILL_SEED repeats the moments of an earlier test.
/// </summary>
[Trait("Category", "Kill")]
public sealed class KillTests(ITestOutputHelper output) : IDisposable
{
    private const int Layers = 4;

    private readonly TemporaryFolder temporary = new();
    private readonly int seed = int.Parse(Environment.GetEnvironmentVariable("AWQ_KILL_SEED") ?? Random.Shared.Next(100_000).ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    public void Dispose() => temporary.Dispose();

    [Fact]
    public async Task KilledAtAHundredRandomMomentsRunsGoOnAndEndWithTheSameBytes()
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("SIGKILL is a signal of Unix");
        WriteModel();
        var lanes = await Task.WhenAll(
            Task.Run(() => new Lane(Options("default"), temporary.Path, 92, seed).Run()),
            Task.Run(() => new Lane(Options("tuned") with { MaxQuality = true, TuningSteps = 4 }, temporary.Path, 8, seed + 1).Run()));
        foreach (var lane in lanes)
            output.WriteLine($"seed {seed}: {lane}");
        Assert.Equal(100, lanes.Sum(l => l.Kills));
        Assert.All(lanes, l => Assert.True(l.TakenUp >= 3, $"seed {seed}: only {l.TakenUp} of the runs found something to take up"));
        Assert.Empty(Directory.GetFileSystemEntries(temporary.Path, "*.awq-run"));
    }

    /// <summary>A Llama of four layers with random weights, as small as one can be, and tokens: most of a run is then what it writes.</summary>
    private void WriteModel()
    {
        const int Hidden = 64, Inner = 96, Vocabulary = 96;
        var random = new Random(1);
        temporary.Write("model/config.json", $$"""
            {"model_type":"llama","hidden_size":{{Hidden}},"intermediate_size":{{Inner}},"num_attention_heads":2,"num_key_value_heads":1,"num_hidden_layers":{{Layers}},
             "vocab_size":{{Vocabulary}},"rms_norm_eps":1e-5,"max_position_embeddings":128,"tie_word_embeddings":true,"hidden_act":"silu","head_dim":32,"torch_dtype":"float32"}
            """);
        var tensors = new List<TensorPayload>();
        Add("model.embed_tokens.weight", Vocabulary, Hidden);
        Add("model.norm.weight", Hidden);
        for (var i = 0; i < Layers; i++)
        {
            var layer = $"model.layers.{i}.";
            Add(layer + "input_layernorm.weight", Hidden);
            Add(layer + "post_attention_layernorm.weight", Hidden);
            Add(layer + "self_attn.q_proj.weight", Hidden, Hidden);
            Add(layer + "self_attn.k_proj.weight", Hidden / 2, Hidden);
            Add(layer + "self_attn.v_proj.weight", Hidden / 2, Hidden);
            Add(layer + "self_attn.o_proj.weight", Hidden, Hidden);
            Add(layer + "mlp.gate_proj.weight", Inner, Hidden);
            Add(layer + "mlp.up_proj.weight", Inner, Hidden);
            Add(layer + "mlp.down_proj.weight", Hidden, Inner);
        }
        PartFile.Write(temporary.File("model/model.safetensors"), tensors);
        PartFile.Write(temporary.File("ids.safetensors"), [TensorPayload.From("ids", TensorDtype.I32, [4, 64], Enumerable.Range(0, 256).Select(_ => random.Next(Vocabulary)).ToArray())]);

        void Add(string name, params long[] shape) => tensors.Add(TensorPayload.From(name, TensorDtype.F32, shape,
            Enumerable.Range(0, (int)shape.Aggregate((a, b) => a * b)).Select(_ => shape.Length == 1 ? 1 + 0.1f * random.NextSingle() : (random.NextSingle() - 0.5f) / 4).ToArray()));
    }

    private QuantizationOptions Options(string name) => new()
    {
        ModelPath = temporary.File("model"), ModuleRoot = SharedData.Repository("module"), OutputPath = temporary.File(name),
        ForceCpu = true, GroupSize = 32, SampleCount = 4, SequenceLength = 64, CalibrationData = [temporary.File("ids.safetensors")],
    };

    /// <param name="Kills">Runs that were killed.</param>
    /// <param name="TakenUp">Runs that found finished layers of an earlier one.</param>
    /// <param name="Finished">Checkpoints that came of it.</param>
    /// <param name="Seconds">An undisturbed run.</param>
    private sealed record Tally(int Kills, int TakenUp, int Finished, double Seconds);

    /// <summary>Kills runs to one destination; each checkpoint that comes of them is compared, and the next is begun.</summary>
    private sealed class Lane(QuantizationOptions options, string folder, int wanted, int seed)
    {
        private readonly Random random = new(seed);
        private readonly string name = Path.GetFileName(options.OutputPath)!;
        private string expected = "";
        private int lines; // that an undisturbed run says
        private TimeSpan between; // two of them
        private int kills, takenUp, finished;

        public Tally Run()
        {
            double seconds;
            using (var whole = Start())
            {
                Assert.True(whole.Finish() == 0, whole.Said);
                lines = whole.Lines;
                seconds = whole.Age.TotalSeconds;
                between = whole.Age / lines;
            }
            expected = Hash();
            Directory.Delete(options.OutputPath!, recursive: true);
            while (kills < wanted || Directory.Exists(options.OutputPath + ".awq-run"))
                Once();
            return new Tally(kills, takenUp, finished, seconds);
        }

        private void Once()
        {
            var parts = Directory.Exists(options.OutputPath + ".awq-run") ? Directory.GetFiles(options.OutputPath + ".awq-run", "layer-*.safetensors").Length : 0;
            if (parts > 0)
                takenUp++;
            using var process = Start();
            // So many lines, of which a run that is taken up says fewer, and then somewhere before the next one.
            var left = Math.Max(8, lines * (Layers - parts) / Layers);
            if (kills < wanted && process.AwaitLines(random.Next(left)) && process.KillAfter(between * (1.5 * random.NextDouble())))
                kills++;
            else
                Assert.True(process.Finish() == 0, Failure(process));
            if (Directory.Exists(options.OutputPath))
                Compare();
        }

        /// <summary>What stands at the destination is whole, whether its run ended or was killed, and what else is left can be cleared away.</summary>
        private void Compare()
        {
            Assert.Equal(expected, Hash());
            if (Left() is not [_])
            {
                // Killed between giving the checkpoint its name and deleting its own folder: the same command ends that, or finds nothing more to do.
                using var again = Start();
                Assert.True(again.Finish() == 0 || again.Said.Contains("error DestinationExists", StringComparison.Ordinal), Failure(again));
                Assert.Equal(expected, Hash());
            }
            Assert.Equal([options.OutputPath!], Left());
            Directory.Delete(options.OutputPath!, recursive: true);
            finished++;
        }

        private string[] Left() => Directory.GetFileSystemEntries(folder, name + "*");

        private RunProcess Start() => new(options);

        private string Failure(RunProcess process) => $"seed {seed}, after {kills} kills:\n{process.Said}";

        private string Hash() => string.Join('\n', Directory.GetFiles(options.OutputPath!).Order(StringComparer.Ordinal)
            .Select(f => $"{Path.GetFileName(f)} {Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(f)))}"));
    }
}
