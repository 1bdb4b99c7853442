using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Tokenization;
using TorchSharp;
using static TorchSharp.torch;
using RoundingMode = AwqQuantize.Engine.Awq.RoundingMode;

namespace AwqQuantize.Benchmarks;

/// <summary>What each ingredient of the quantiser brings: KL to the float model on held-out text, and the time it takes.</summary>
internal static class QualityBenchmark
{
    private static readonly (string Name, Func<AwqSettings, AwqSettings> Change)[] Variants =
    [
        ("plain", s => s with { SearchScales = false, FitRanges = false, Rounding = RoundingMode.Nearest }),
        ("ranges", s => s with { SearchScales = false, Rounding = RoundingMode.Nearest }),
        ("scales+ranges", s => s with { Rounding = RoundingMode.Nearest }),
        ("compensated", s => s with { SearchScales = false, Sweeps = 0 }),
        ("scales+compensated", s => s with { Sweeps = 0 }),
        ("no judge", s => s with { JudgeByBlock = false }),
        ("no refit", s => s with { RefitScales = false }),
        ("default", s => s),
        ("one sweep", s => s with { Sweeps = 1 }),
        ("maximum", s => AwqSettings.Maximum with { GroupSize = s.GroupSize }),
        ("maximum, no judge", s => AwqSettings.Maximum with { GroupSize = s.GroupSize, JudgeByBlock = false }),
        ("gradients", s => s with { FollowsGradients = true }),
        ("maximum+gradients", s => AwqSettings.Maximum with { GroupSize = s.GroupSize, FollowsGradients = true }),
        ("float layers", s => s),
        ("maximum+float layers", s => AwqSettings.Maximum with { GroupSize = s.GroupSize }),
    ];

    /// <summary>Bits per weight that variants with float layers may take, as in the product.</summary>
    private const double MostBits = 4.5;

    /// <summary>quality MODEL GROUP CALIBRATION-TEXT ROWS LENGTH EVALUATION-TEXT CONTEXTS LENGTH [VARIANT…]</summary>
    public static int Run(string[] args)
    {
        var (model, group, rows, length) = (args[0], int.Parse(args[1]), int.Parse(args[3]), int.Parse(args[4]));
        using var folder = ModelFolder.Open(model);
        var graph = ArchitectureCatalog.Load(Path.Combine(Repository.Root, "module", "Architectures"))
            .Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        var tokenizer = TextTokenizer.Load(model);
        var calibration = Rows(tokenizer, args[2], length, rows, fromEnd: false);
        var evaluation = Rows(tokenizer, args[5], int.Parse(args[7]), int.Parse(args[6]), fromEnd: args[5] == args[2]);
        Console.WriteLine($"calibration {calibration.shape[0]} x {calibration.shape[1]}, evaluation {evaluation.shape[0]} x {evaluation.shape[1]}");
        double? plain = null;
        var source = new FolderTensorSource(folder);
        using var exact = Float(graph, source, evaluation);
        foreach (var (name, change) in Variants)
        {
            if (args.Length > 8 && !args[8..].Contains(name) && name != "plain")
                continue;
            var kept = name.Contains("float layers") ? Sensitivities(graph, source, group, calibration) : [];
            var settings = change(new AwqSettings { GroupSize = group });
            var result = Measure(graph, source, settings, calibration, evaluation, exact, kept, settings.FollowsGradients ? Gradients(graph, source, calibration) : null);
            plain ??= result.Kl;
            Console.WriteLine($"{name,-20} kl {result.Kl:F5} ({result.Kl / plain:F3} x plain)  ppl {result.Ppl:F4} (float {result.FloatPpl:F4})  top1 {result.Top1:F4}  {result.Seconds:F1} s  {result.Stages}");
        }
        return 0;
    }

    private sealed record Result(double Kl, double Ppl, double FloatPpl, double Top1, double Seconds, string Stages);

    private static Result Measure(ModelGraph graph, ITensorSource source, AwqSettings settings, Tensor calibration, Tensor evaluation, HiddenStates exact,
        IReadOnlySet<string> keep, IReadOnlyDictionary<int, LayerGradients>? gradients)
    {
        using var outer = NewDisposeScope();
        using var model = DecoderModel.Open(graph, source, CPU);
        using var hidden = new HiddenStates((int)calibration.shape[0], (int)calibration.shape[1], graph.HiddenSize);
        hidden.Store(0, model.Embed(calibration));
        using var rough = new HiddenStates((int)evaluation.shape[0], (int)evaluation.shape[1], graph.HiddenSize);
        rough.Store(0, model.Embed(evaluation));
        var stages = new Dictionary<string, double>();
        var batch = new MicroBatch(Math.Max(1, 2048 / hidden.Length), "hidden.tmp", (_, text) => Console.Error.WriteLine(text));
        var clock = new Stopwatch();
        for (var i = 0; i < graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            clock.Start();
            var stays = ModuleSelection.StayFloat(layer.Graph, settings.GroupSize, []).ToDictionary();
            foreach (var linear in layer.Graph.Linears.Where(l => keep.Contains(layer.Graph.Prefix + l.Module)))
                stays.TryAdd(linear.Module, "sensitive");
            var quantizer = new LayerQuantizer(layer, hidden, settings, stays, batch, default, gradients: gradients?[i]);
            var outcome = quantizer.Run();
            clock.Stop();
            foreach (var (stage, seconds) in outcome.Seconds)
                stages[stage] = stages.GetValueOrDefault(stage) + seconds;
            foreach (var warning in outcome.Warnings)
                Console.Error.WriteLine($"layer {i}: {warning}");
            if (Environment.GetEnvironmentVariable("AWQ_BENCH_GROUPS") is not null)
                foreach (var g in outcome.Groups)
                    Console.Error.WriteLine($"layer {i}: {g.Name}: {g.Kind} {g.Ratio:F2} spread {g.Spread:F1} loss {g.Loss / g.IdentityLoss:F3} fold {g.FoldError:g2}");
            Advance(layer, rough);
        }
        var (kl, nll, floatNll, hits, count) = (0.0, 0.0, 0.0, 0L, 0L);
        for (var row = 0; row < evaluation.shape[0]; row++)
        {
            using var scope = NewDisposeScope();
            var length = (int)evaluation.shape[1] - 1;
            var targets = evaluation[row].narrow(0, 1, length);
            var p = nn.functional.log_softmax(model.Logits(exact.View(row, 1))[0].narrow(0, 0, length), 1);
            var q = nn.functional.log_softmax(model.Logits(rough.View(row, 1))[0].narrow(0, 0, length), 1);
            kl += (p.exp() * (p - q)).sum(ScalarType.Float64).item<double>();
            nll -= q.gather(1, targets.unsqueeze(1)).sum(ScalarType.Float64).item<double>();
            floatNll -= p.gather(1, targets.unsqueeze(1)).sum(ScalarType.Float64).item<double>();
            hits += p.argmax(1).eq(q.argmax(1)).sum().item<long>();
            count += length;
        }
        return new Result(kl / count, Math.Exp(nll / count), Math.Exp(floatNll / count), (double)hits / count, clock.Elapsed.TotalSeconds,
            string.Join(" ", stages.Select(s => $"{s.Key}={s.Value:F1}")));
    }

    /// <summary>What the float model's loss makes of the outputs of all linears.</summary>
    private static Dictionary<int, LayerGradients> Gradients(ModelGraph graph, ITensorSource source, Tensor calibration)
    {
        var clock = Stopwatch.StartNew();
        using var model = DecoderModel.Open(graph, source, CPU);
        var rows = Enumerable.Range(0, (int)calibration.shape[0]).Select(r => calibration[r].data<long>().Select(i => (int)i).ToArray()).ToList();
        var result = new Dictionary<int, LayerGradients>();
        new GradientWalk(model, rows, 0, 1, null, default).Run(true, (layer, gathered) =>
        {
            var grams = gathered.ToDictionary(g => g.Key, g => g.Value.Grams.Select(m => m.clone().DetachFromDisposeScope()).ToList());
            result[layer] = new LayerGradients(gathered.Where(g => g.Value.Norms.Count == calibration.numel()).ToDictionary(g => g.Key, g => g.Value.Norms.ToArray()),
                (int)calibration.shape[1], m => grams.TryGetValue(m, out var own) ? [.. own.Select(g => g.clone())] : null);
        });
        Console.WriteLine($"gradients {clock.Elapsed.TotalSeconds:F1} s");
        return result;
    }

    /// <summary>Measures all sets, prints them, and returns the modules that are worth their bits.</summary>
    private static HashSet<string> Sensitivities(ModelGraph graph, ITensorSource source, int group, Tensor calibration)
    {
        var clock = Stopwatch.StartNew();
        using var outer = NewDisposeScope();
        using var model = DecoderModel.Open(graph, source, CPU);
        var rows = Enumerable.Range(0, (int)calibration.shape[0]).Select(r => calibration[r].data<long>().Select(i => (int)i).ToArray()).ToList();
        var plan = SensitivityPlan.Make(graph, l => ModuleSelection.StayFloat(l, group, []), 4 + 20.0 / group, MostBits, rows.Count, rows[0].Length);
        if (plan is null)
            return [];
        var batch = new MicroBatch(Math.Max(1, 2048 / plan.PieceLength), "hidden.tmp", (_, text) => Console.Error.WriteLine(text));
        var measured = FloatBudget.Choose(new SensitivityWalk(model, plan, rows, new AwqSettings { GroupSize = group, Sweeps = 1 }, batch, null, default).Run(), plan.SpareWeights);
        if (Environment.GetEnvironmentVariable("AWQ_BENCH_SETS") is not null)
            foreach (var m in measured)
                Console.Error.WriteLine($"set {graph.Layers[m.Set.Layer].Prefix}{m.Set.Name} weights {m.Set.Weights} stream {m.StreamError:E3} kl {m.KlDivergence:E3} {(m.StaysFloat ? "float" : "")}");
        var kept = measured.Where(m => m.StaysFloat).ToList();
        Console.WriteLine($"{kept.Count} of {measured.Count} sets stay float ({string.Join(", ", kept.Select(m => $"{m.Set.Layer}.{m.Set.Name}"))}), planned {plan.ForwardEquivalents:F1} forwards, {clock.Elapsed.TotalSeconds:F1} s");
        return [.. kept.SelectMany(k => k.Set.Modules.Select(m => graph.Layers[k.Set.Layer].Prefix + m))];
    }

    /// <summary>What leaves the last layer of the float model.</summary>
    private static HiddenStates Float(ModelGraph graph, ITensorSource source, Tensor evaluation)
    {
        using var outer = NewDisposeScope();
        using var model = DecoderModel.Open(graph, source, CPU);
        var states = new HiddenStates((int)evaluation.shape[0], (int)evaluation.shape[1], graph.HiddenSize);
        states.Store(0, model.Embed(evaluation));
        for (var i = 0; i < graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            Advance(layer, states);
        }
        return states;
    }

    private static void Advance(DecoderLayer layer, HiddenStates states)
    {
        for (var row = 0; row < states.Rows; row++)
        {
            using var scope = NewDisposeScope();
            states.Store(row, layer.Forward(states.View(row, 1)));
        }
    }

    private static Tensor Rows(TextTokenizer tokenizer, string file, int length, int rows, bool fromEnd)
    {
        var text = File.ReadAllText(file);
        // Another part of the text, to see what is chance.
        var skip = int.Parse(Environment.GetEnvironmentVariable("AWQ_BENCH_SKIP") ?? "0");
        if (!fromEnd)
            text = text[skip..];
        if (fromEnd)
            text = text[^60000..];
        else if (text.Length > rows * length * 8)
            text = text[..(rows * length * 8)];
        var ids = tokenizer.Encode(text, false);
        rows = Math.Min(rows, ids.Length / length);
        return tensor([.. ids.Take(rows * length).Select(i => (long)i)], [rows, length]);
    }
}
