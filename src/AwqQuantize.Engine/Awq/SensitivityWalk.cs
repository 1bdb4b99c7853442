using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Measures what each set of linears costs the model when it alone is quantised, as it would be: scales, ranges, compensated
/// rounding, on statistics of the float model. One walk over the layers: a set's hidden states part from the float ones in its
/// layer, and those that part the most for their size go on, layer by layer, to the logits; when more than the shortlist holds are
/// under way, the one that mattered least is given up.
/// </summary>
/// <param name="model">The float model.</param>
/// <param name="plan">What is looked at.</param>
/// <param name="rows">Calibration rows.</param>
/// <param name="settings">How linears are quantised.</param>
/// <param name="batch">How many pieces run at once while a set is quantised.</param>
/// <param name="folder">Where hidden states go that shall not stay in memory; null to keep them there.</param>
/// <param name="cancel">Ends the work within a second.</param>
public sealed class SensitivityWalk(
    DecoderModel model, SensitivityPlan plan, IReadOnlyList<int[]> rows, AwqSettings settings, MicroBatch batch, string? folder, CancellationToken cancel)
{
    // Tokens whose logits are computed at once, times the vocabulary.
    private const long LogitElements = 1L << 24;

    private readonly List<Altered> underWay = [];
    private readonly Dictionary<ModuleSet, double> streamErrors = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<HiddenStates> alive = [];
    private Device device = CPU;
    private int made;

    /// <summary>Hidden states of the model with one set quantised.</summary>
    private sealed record Altered(ModuleSet Set, HiddenStates States);

    /// <summary>Measures all sets of the plan.</summary>
    /// <param name="progress">Told what is being worked on, and how much is done (0 to 1).</param>
    /// <returns>In the order of the plan; nothing is decided yet.</returns>
    public IReadOnlyList<ModuleSensitivity> Run(Action<string, double>? progress = null)
    {
        var (measuredIds, statisticsIds) = plan.Pieces(rows);
        try
        {
            var exact = Enter(measuredIds);
            var statistics = Enter(statisticsIds);
            model.ReleaseEmbedding();
            for (var i = 0; i < model.Graph.LayerCount; i++)
            {
                progress?.Invoke($"layer {i + 1} of {model.Graph.LayerCount}", (double)i / (model.Graph.LayerCount + 1));
                exact = Pass(i, exact, statistics);
            }
            progress?.Invoke("logits", (double)model.Graph.LayerCount / (model.Graph.LayerCount + 1));
            var divergence = Divergences(exact);
            return [.. plan.Sets.Select(s => new ModuleSensitivity(s, streamErrors[s], divergence.TryGetValue(s, out var kl) ? kl : null, false))];
        }
        finally
        {
            model.ReleaseHead();
            foreach (var states in alive.ToList())
                Free(states);
        }
    }

    /// <summary>Takes all hidden states through a layer; the layer's own sets join in. Returns the float states behind it.</summary>
    private HiddenStates Pass(int index, HiddenStates entrance, HiddenStates statistics)
    {
        using var layer = model.LoadLayer(index);
        device = layer.Device;
        foreach (var altered in underWay)
            Forward(layer, altered.States, altered.States);
        var exit = New(entrance.Rows);
        Forward(layer, entrance, exit);
        foreach (var set in plan.Sets.Where(s => s.Layer == index))
            Part(set, entrance, exit, statistics);
        Forward(layer, statistics, statistics);
        Free(entrance);
        NativeHeap.Trim();
        return exit;
    }

    /// <summary>Quantises one set alone and lets its hidden states part from the float ones.</summary>
    private void Part(ModuleSet set, HiddenStates entrance, HiddenStates exit, HiddenStates statistics)
    {
        using var layer = model.LoadLayer(set.Layer);
        var others = layer.Graph.Linears.Where(l => !set.Modules.Contains(l.Module)).ToDictionary(l => l.Module, _ => "not measured now");
        var copy = New(statistics.Rows);
        using (var all = statistics.View(0, statistics.Rows))
            copy.Store(0, all);
        new LayerQuantizer(layer, copy, settings with { LeavesLayer = false }, others, batch, cancel).Run();
        Free(copy);
        var altered = New(entrance.Rows);
        Forward(layer, entrance, altered);
        streamErrors[set] = Change(exit, altered);
        underWay.Add(new Altered(set, altered));
        if (underWay.Count <= plan.Shortlist)
            return;
        var least = underWay.MinBy(a => streamErrors[a.Set] / a.Set.Weights)!;
        underWay.Remove(least);
        Free(least.States);
    }

    /// <summary>Mean over tokens, so that the few of huge norm that many models have do not decide alone.</summary>
    private static double Change(HiddenStates exact, HiddenStates altered)
    {
        using var scope = NewDisposeScope();
        var sum = 0.0;
        for (var row = 0; row < exact.Rows; row++)
        {
            using var inner = NewDisposeScope();
            var wanted = exact.View(row, 1);
            var error = altered.View(row, 1).sub(wanted).pow_(2).sum(-1);
            sum += error.div_(wanted.pow(2).sum(-1).clamp_min_(1e-20)).mean().item<float>();
        }
        return sum / exact.Rows;
    }

    /// <summary>KL divergence of each set that has come to the end.</summary>
    private Dictionary<ModuleSet, double> Divergences(HiddenStates exact)
    {
        var sums = new double[underWay.Count];
        var chunk = (int)Math.Max(1, LogitElements / model.Graph.VocabularySize);
        for (var row = 0; row < exact.Rows; row++)
            for (var from = 0; from < exact.Length; from += chunk)
            {
                cancel.ThrowIfCancellationRequested();
                using var scope = NewDisposeScope();
                var count = Math.Min(chunk, exact.Length - from);
                var p = LogProbabilities(exact, row, from, count);
                var weights = p.exp();
                for (var i = 0; i < sums.Length; i++)
                {
                    using var inner = NewDisposeScope();
                    var q = LogProbabilities(underWay[i].States, row, from, count);
                    sums[i] += q.neg_().add_(p).mul_(weights).sum(ScalarType.Float64).item<double>();
                }
            }
        var result = new Dictionary<ModuleSet, double>(ReferenceEqualityComparer.Instance);
        for (var i = 0; i < sums.Length; i++)
            result[underWay[i].Set] = sums[i] / exact.Tokens;
        return result;
    }

    private Tensor LogProbabilities(HiddenStates states, int row, int from, int count) =>
        nn.functional.log_softmax(model.Logits(states.View(row, 1).narrow(1, from, count).to(device))[0], 1);

    private HiddenStates Enter(IReadOnlyList<int[]> pieces)
    {
        var states = New(pieces.Count);
        for (var row = 0; row < pieces.Count; row++)
        {
            using var scope = NewDisposeScope();
            states.Store(row, model.Embed(tensor(pieces[row].Select(i => (long)i).ToArray(), [1, plan.PieceLength])));
        }
        return states;
    }

    private void Forward(DecoderLayer layer, HiddenStates from, HiddenStates to)
    {
        var atOnce = Math.Max(1, 512 / plan.PieceLength);
        for (var row = 0; row < from.Rows; row += atOnce)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            to.Store(row, layer.Forward(from.View(row, Math.Min(atOnce, from.Rows - row)).to(layer.Device)));
        }
    }

    private HiddenStates New(int pieces)
    {
        var states = new HiddenStates(pieces, plan.PieceLength, model.Graph.HiddenSize, folder is null ? null : Path.Combine(folder, $"sensitivity-{made++}.spill"));
        alive.Add(states);
        return states;
    }

    private void Free(HiddenStates states)
    {
        alive.Remove(states);
        states.Dispose();
    }
}
