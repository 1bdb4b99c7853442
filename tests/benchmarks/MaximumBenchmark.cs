using System.Globalization;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Runs;
using static TorchSharp.torch;

namespace AwqQuantize.Benchmarks;

/// <summary>
/// Whether <c>-MaxQuality</c> is ever worse than the default: all models of a folder, three seeds of random tokens each, KL from the
/// float model on other tokens.
/// </summary>
internal static class MaximumBenchmark
{
    private const int Length = 64;

    /// <summary>maximum FOLDER [GROUP [ROWS [STEPS]]]</summary>
    public static int Run(string[] args)
    {
        var group = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 32;
        var rows = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 16;
        var steps = args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : (int?)null;
        var catalog = ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures"));
        var place = Directory.CreateTempSubdirectory("awq-maximum-");
        var (all, worse) = (0, 0);
        try
        {
            // Seed by seed: what is cut short has seen all models.
            for (var seed = 1; seed <= 3; seed++)
                foreach (var model in Directory.GetDirectories(args[0]).Where(d => File.Exists(Path.Combine(d, ModelFolder.ConfigFile))).Order(StringComparer.Ordinal))
                {
                    using var reference = ModelSource.Open(model, catalog);
                    var calibration = Path.Combine(place.FullName, "ids.safetensors");
                    PartFile.Write(calibration, [TensorPayload.From("ids", TensorDtype.I64, [4 * rows, Length], Tokens(reference.Graph, 4 * rows, seed))]);
                    var options = new QuantizationOptions
                    {
                        ModelPath = model, ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = Path.Combine(place.FullName, "made"), Force = true,
                        ForceCpu = true, GroupSize = group, SampleCount = rows, SequenceLength = Length, CalibrationData = [calibration], Seed = seed,
                    };
                    var ours = Divergence(reference, options, catalog);
                    var best = Divergence(reference, options with { MaxQuality = true, SampleCount = 4 * rows, TuningSteps = steps }, catalog);
                    all++;
                    worse += best > ours ? 1 : 0;
                    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(model),-20} seed {seed}  default {ours:e3}  maximum {best:e3}  {best / ours:F3}{(best > ours ? "  worse" : "")}"));
                }
        }
        finally
        {
            place.Delete(recursive: true);
        }
        Console.WriteLine($"{all} runs, {worse} worse");
        return 0;
    }

    private static long[] Tokens(ModelGraph graph, int rows, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, rows * Length).Select(_ => (long)random.Next(graph.VocabularySize))];
    }

    private static double Divergence(ModelSource reference, QuantizationOptions options, ArchitectureCatalog catalog)
    {
        QuantizationRun.Execute(options, new Silent(), default);
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        using var made = ModelSource.Open(options.OutputPath!, catalog);
        const int Rows = 64;
        var ids = tensor(Tokens(reference.Graph, Rows, 99), [Rows, Length]);
        var p = nn.functional.log_softmax(Logits(reference, ids), 2);
        var q = nn.functional.log_softmax(Logits(made, ids), 2);
        return (p.exp() * (p - q)).sum(-1).mean().item<float>();
    }

    private static Tensor Logits(ModelSource source, Tensor ids)
    {
        using var model = DecoderModel.Open(source.Graph, source.Tensors, CPU);
        var hidden = model.Embed(ids);
        for (var i = 0; i < source.Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            hidden = layer.Forward(hidden);
        }
        return model.Logits(hidden);
    }

    private sealed class Silent : IRunObserver
    {
        public void Progress(RunProgress progress)
        {
        }

        public void Warning(string id, string message)
        {
        }

        public void Decision(string message)
        {
        }
    }
}
