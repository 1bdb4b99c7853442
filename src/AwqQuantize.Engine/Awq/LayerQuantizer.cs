using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Quantises one decoder layer, input by input in the order of the data: gather the statistics of an input as the layer, quantised
/// so far, produces it; search the scales of its group; fold them and check the fold; round the linears that read it. Then the
/// hidden states move on through the finished block, so that everything later is fitted to what it will meet in use.
/// </summary>
/// <param name="layer">Float weights; quantised in place.</param>
/// <param name="hidden">Enter the layer, and have left it afterwards.</param>
/// <param name="settings">What is done.</param>
/// <param name="kept">Linears that stay float, and why (see <see cref="ModuleSelection"/>).</param>
/// <param name="batch">How many rows run at once, and what to do when memory runs out.</param>
/// <param name="cancel">Ends the work within a second.</param>
/// <param name="team">Devices that share the work, the layer's first; null for the layer's alone.</param>
/// <param name="gradients">What the model's loss makes of the outputs of the layer's linears; null where these count as such.</param>
public sealed partial class LayerQuantizer(
    DecoderLayer layer, HiddenStates hidden, AwqSettings settings, IReadOnlyDictionary<string, string> kept, MicroBatch batch, CancellationToken cancel,
    DeviceTeam? team = null, LayerGradients? gradients = null)
{
    private readonly LayerReplicas replicas = new(layer, team ?? DeviceTeam.Of(layer.Compute));
    private readonly StageClock clock = new();
    private readonly List<string> warnings = [];
    private readonly List<ScaleGroupOutcome> groups = [];
    private readonly List<LinearOutcome> linears = [];
    private readonly Dictionary<string, QuantizedLinear> quantized = [];
    private readonly HashSet<string> toQuantise = [.. layer.Graph.Linears.Where(l => !kept.ContainsKey(l.Module)).Select(l => l.Module + ".weight")];
    private SiteInputs? last;
    private float largest;

    /// <summary>The quantised linears by module name, once <see cref="Run"/> has returned.</summary>
    public IReadOnlyDictionary<string, QuantizedLinear> Quantized => quantized;

    /// <summary>Quantises the layer.</summary>
    /// <param name="progress">Told what is being worked on, and how much of the layer is done (0 to 1).</param>
    public LayerOutcome Run(Action<string, double>? progress = null)
    {
        batch.LeaveDevice = Leave;
        using var others = replicas;
        // What stays float is stored in float16, so it is measured in float16, too.
        RoundStored(layer.Weights.Names.Where(IsStoredAsHalf));
        var blocks = settings.LeavesLayer ? layer.Graph.BlockCount : 1 + Enumerable.Range(0, layer.Graph.BlockCount).LastOrDefault(HasWork);
        var stages = Enumerable.Range(0, blocks).Sum(b => layer.Graph.SitesOf(b).Count + 1);
        var done = 0;
        for (var block = 0; block < blocks; block++)
        {
            using var sample = Sample();
            foreach (var site in layer.Graph.SitesOf(block))
            {
                progress?.Invoke(site, (double)done++ / stages);
                Quantise(block, site, sample);
            }
            progress?.Invoke("hidden states", (double)done++ / stages);
            if (settings.LeavesLayer || block < blocks - 1)
                Propagate(block);
            last?.Dispose();
            last = null;
        }
        return new LayerOutcome
        {
            Layer = layer.Graph.Index, Groups = groups, Linears = linears, Float = kept, SequenceLength = hidden.Length,
            LargestActivation = largest, Warnings = warnings, Seconds = clock.Seconds,
        };
    }

    /// <summary>See <see cref="MicroBatch.LeaveDevice"/>.</summary>
    private (string Id, string Text)? Leave()
    {
        if (replicas.GiveUp())
            return ("LayerOnOneDevice", $"this layer is finished on {layer.Compute} alone.");
        if (layer.Compute.IsHost)
            return null;
        layer.MoveToHost();
        return ("LayerOnCpu", "this layer is finished on the CPU.");
    }

    private void RoundStored(IEnumerable<string> names)
    {
        foreach (var name in names)
        {
            StoredPrecision.Round([layer.Weights[name]]);
            layer.Weights.Touch(name);
        }
    }

    private bool HasWork(int block) => layer.Graph.SitesOf(block).Any(site =>
        layer.Graph.Linears.Where(l => l.Site == site).Concat(layer.Graph.ExpertsBehind(site).SelectMany(e => e)).Any(l => !kept.ContainsKey(l.Module)));

    /// <summary>One input of the layer and everything that reads it.</summary>
    private void Quantise(int block, string site, Tensor sample)
    {
        var readers = layer.Graph.Linears.Where(l => l.Site == site && !kept.ContainsKey(l.Module)).ToList();
        var experts = layer.Graph.ExpertsBehind(site).Where(e => e.Any(l => !kept.ContainsKey(l.Module))).ToList();
        if (readers.Count == 0 && experts.Count == 0)
            return;
        var channels = readers.Concat(experts.SelectMany(e => e)).First().In;
        // Of a block's last inputs as many are kept as fit; what experts read is kept whole or not at all.
        var most = settings.KeptInputBytes / (channels * sizeof(float));
        var keep = site == layer.LastSite(block) ? most : 0;
        var inputs = Gather(block, site, channels, experts.Count == 0 ? keep : hidden.Tokens <= most ? long.MaxValue : 0, experts.Count > 0);
        using var temporary = keep > 0 ? null : inputs;
        if (keep > 0)
            last = inputs;
        largest = Math.Max(largest, inputs.Statistics.Largest);
        var magnitude = inputs.Statistics.MeanMagnitude();
        using var curvature = Factor(inputs.Statistics);
        using var copies = new CurvatureCopies(curvature, replicas);
        foreach (var group in layer.Graph.ScaleGroups.Where(g => g.Site == site))
            if (Scale(group, curvature, magnitude, sample, () => layer.RunBlock(block, sample.to(layer.Device)), copies) is { } columns)
            {
                copies.Rescale(columns);
                inputs.Divide(columns);
            }
        Round(readers, curvature, inputs.Statistics.Tokens, copies);
        using var handed = new ExpertInputs(inputs, settings.AllTokensToAllExperts, [.. experts.Select(e => e[0].Expert)], settings.KeptInputBytes,
            use => Replay(block, site, inputs.RowLength, use), (long)batch.Rows * hidden.Length);
        Quantise(block, experts, channels, handed, copies);
    }

    /// <summary>
    /// Makes a site's inputs anew from the hidden states, which have not moved since. Where rows have become shorter in between, only what is
    /// left of them is given, under the index that it had.
    /// </summary>
    private void Replay(int block, string site, int rowLength, Action<long, Tensor> use)
    {
        for (var from = 0; from < hidden.Rows; from += batch.Rows)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var count = Math.Min(batch.Rows, hidden.Rows - from);
            using var observer = new SiteObserver(site, null, (long)count * hidden.Length, withRouting: false);
            observer.Run(o => layer.RunBlock(block, hidden.View(from, count).to(layer.Device), o));
            hidden.Release(from, count);
            using var x = observer.Inputs[0];
            if (hidden.Length == rowLength)
                use((long)from * rowLength, x);
            else
                for (var row = 0; row < count; row++)
                    use((long)(from + row) * rowLength, x.narrow(0, (long)row * hidden.Length, hidden.Length));
        }
    }

    /// <summary>Runs a stage until memory suffices, where the layer is by then.</summary>
    /// <param name="bytes">What it needs besides the layer's weights.</param>
    /// <param name="curvature">That it works with.</param>
    private T Stage<T>(string stage, Func<long> bytes, Curvature? curvature, Func<T> work) => clock.Time(stage, () => batch.Guard(stage, hidden, () =>
    {
        if (layer.Compute.IsHost)
            curvature?.MoveToHost();
        using var working = layer.Compute.Reserve(bytes());
        return work();
    }));

    private long ForwardBytes(int rows) => StageMemory.Forward(layer.Graph, rows, hidden.Length, layer.Weights.ForwardType);

    private Curvature Factor(InputStatistics statistics) => Factor(statistics.TakeGram(layer.Compute));

    /// <param name="gram">Where the layer is; taken over.</param>
    private Curvature Factor(Tensor gram)
    {
        var (on, channels) = (layer.Compute, gram.shape[0]);
        return Stage("factor", () => StageMemory.Factor(channels), null, () =>
        {
            if (layer.Compute.IsHost && !on.IsHost)
                (gram, on) = (ComputeDevice.Download(gram), layer.Compute);
            return Curvature.From(gram, on);
        });
    }

    /// <summary>Runs all rows up to a site; its inputs are kept of so many tokens. Unless it is reached always, some rows may never come to it.</summary>
    private SiteInputs Gather(int block, string site, int channels, long keep, bool withRouting, bool always = true) =>
        Stage("statistics", () => ForwardBytes(Math.Min(batch.Rows, hidden.Rows)) + StageMemory.Gram(channels), null, () =>
        {
            replicas.Prepare();
            var count = Math.Min(replicas.Count, (hidden.Rows + batch.Rows - 1) / batch.Rows);
            return SiteInputs.Merge(DeviceTeam.Share(count, member => Gather(member, count, block, site, channels, keep, withRouting, always)));
        });

    /// <summary>Tokens of every so manyth micro-batch.</summary>
    private long Taken(int member, int members)
    {
        var rows = 0L;
        for (var from = member * batch.Rows; from < hidden.Rows; from += members * batch.Rows)
            rows += Math.Min(batch.Rows, hidden.Rows - from);
        return rows * hidden.Length;
    }

    /// <summary>Every so manyth micro-batch, on one device.</summary>
    private SiteInputs Gather(int member, int members, int block, string site, int channels, long keep, bool withRouting, bool always)
    {
        var own = replicas.On(member);
        using var working = member == 0 ? null : own.Compute.Reserve(ForwardBytes(Math.Min(batch.Rows, hidden.Rows)) + StageMemory.Gram(channels));
        var statistics = new InputStatistics(channels, own.Compute, own.Weights.ForwardType);
        // Where several devices take turns, what is kept of each would leave gaps: all or nothing.
        keep = members == 1 || keep >= hidden.Tokens ? Math.Min(keep, Taken(member, members)) : 0;
        using var observer = new SiteObserver(site, statistics, keep, withRouting);
        var weights = gradients?.TokenWeights([.. layer.Graph.Linears.Where(l => l.Site == site && l.Expert < 0 && !kept.ContainsKey(l.Module)).Select(l => l.Module)]);
        var claim = keep > 0 ? own.Compute.Reserve(4L * keep * channels) : null;
        try
        {
            for (var from = member * batch.Rows; from < hidden.Rows; from += members * batch.Rows)
            {
                cancel.ThrowIfCancellationRequested();
                var count = Math.Min(batch.Rows, hidden.Rows - from);
                using var rows = hidden.View(from, count);
                using var entrance = rows.to(own.Device);
                using var roots = weights is null ? null : tensor(weights.Roots(from, count, hidden.Length));
                using var there = roots?.to(own.Device);
                observer.Weights = there;
                observer.Run(o => own.RunBlock(block, entrance, o), always);
                hidden.Release(from, count);
            }
            return new SiteInputs(statistics, observer.Inputs, observer.Routing, hidden.Length, claim);
        }
        catch
        {
            claim?.Dispose();
            statistics.Dispose();
            observer.DisposeKept();
            throw;
        }
    }

    /// <summary>Searches, folds and checks the scales of a group. Returns the scale of each input column, or null for no change.</summary>
    /// <param name="sample">The residual stream that candidates are judged on, or null.</param>
    /// <param name="output">What a fold must leave as it is, or null where that cannot be computed.</param>
    private float[]? Scale(ScaleGroup group, Curvature curvature, float[] magnitude, Tensor? sample, Func<Tensor>? output, CurvatureCopies? copies)
    {
        var consumers = group.Consumers.Where(c => layer.Graph.Linears.Any(l => l.Module == c.Module) && !kept.ContainsKey(c.Module)).ToList();
        if (!settings.SearchScales || consumers.Count == 0)
            return null;
        var best = Stage("search", () => StageMemory.Search(settings.SearchRows, curvature.Columns), curvature, () =>
        {
            using var scope = NewDisposeScope();
            var search = new ScaleSearch([.. consumers.Select(c => layer.Weights[c.Module + ".weight"])], curvature, magnitude, group, settings, copies);
            var candidates = search.Run(cancel);
            var identity = candidates.Single(c => c.Kind == ScaleKind.Identity);
            var chosen = candidates[0];
            using var exactly = layer.Weights.Exactly();
            if (settings.JudgeByBlock && group.FeedsNonlinear && sample is not null && chosen.Kind != ScaleKind.Identity && consumers.Count <= 8)
                chosen = new BlockJudge(layer, group.Block, sample.to(layer.Device)).Choose([.. candidates.Take(3).Append(identity).Distinct()], consumers, curvature.Pivots, settings);
            return (Chosen: chosen, Identity: identity);
        });
        var (error, reverted) = best.Chosen.Kind == ScaleKind.Identity ? (0.0, false) : clock.Time("fold", () => Fold(group, best.Chosen.Scales, output));
        groups.Add(new ScaleGroupOutcome(group.Name, best.Chosen.Kind, best.Chosen.Ratio, best.Chosen.Spread, best.Chosen.Loss, best.Identity.Loss, error, reverted));
        return best.Chosen.Kind == ScaleKind.Identity || reverted ? null : ScaleFold.ColumnScales(consumers[0], best.Chosen.Scales);
    }

    /// <summary>Folds, and undoes it where the output changes by more than rounding explains.</summary>
    private (double Error, bool Reverted) Fold(ScaleGroup group, float[] scales, Func<Tensor>? output)
    {
        using var scope = NewDisposeScope();
        using var exactly = layer.Weights.Exactly();
        var before = output is null ? null : Output();
        ScaleFold.Apply(layer.Weights, group, scales);
        var error = before is null ? 0 : Change(before);
        if (!(error <= settings.FoldTolerance))
        {
            ScaleFold.Apply(layer.Weights, group, [.. scales.Select(s => 1 / s)]);
            warnings.Add($"Scales of '{group.Name}' were not used: folding them changed the output by {error:g3} (relative).");
            return (error, true);
        }
        // What the fold has touched is brought back to what can be stored.
        foreach (var producer in group.Producers)
            if (quantized.TryGetValue(producer.Module, out var linear))
            {
                ScaleFold.DivideRows(linear, producer, scales);
                CopyDequantized(linear, layer.Compute, layer.Weights[producer.Module + ".weight"]);
                layer.Weights.Touch(producer.Module + ".weight");
            }
        RoundStored(group.Producers.SelectMany(p => new[] { p.Module + ".weight", p.Module + ".bias" })
            .Concat(group.Consumers.Select(c => c.Module + ".weight")).Where(n => layer.Weights.Contains(n) && IsStoredAsHalf(n)));
        return (error, false);

        double Change(Tensor was)
        {
            var after = Output();
            was = was.to(layer.Device);
            return (after.sub_(was).norm() / was.norm().clamp_min_(1e-12)).item<float>();
        }

        Tensor Output() => batch.Guard("fold", hidden, () => output!());
    }

    /// <summary>Moves the hidden states through the finished block.</summary>
    private void Propagate(int block) => clock.Time("propagation", () =>
    {
        for (var from = 0; from < hidden.Rows;)
            from += batch.Guard("propagation", hidden, () =>
            {
                cancel.ThrowIfCancellationRequested();
                using var scope = NewDisposeScope();
                replicas.Prepare();
                var members = Math.Min(replicas.Count, (hidden.Rows - from + batch.Rows - 1) / batch.Rows);
                // Nothing is overwritten before all have come out: the stage may have to be repeated.
                var outputs = DeviceTeam.Share(members, member => Propagate(replicas.On(member), block, from + member * batch.Rows));
                var stored = 0;
                foreach (var output in outputs)
                {
                    hidden.Store(from + stored, output);
                    stored += (int)output.shape[0];
                    output.Dispose();
                }
                return stored;
            });
    });

    /// <summary>One micro-batch through the finished block.</summary>
    private Tensor Propagate(DecoderLayer own, int block, int from)
    {
        var count = Math.Min(batch.Rows, hidden.Rows - from);
        using var scope = NewDisposeScope();
        using var working = own.Compute.Reserve(ForwardBytes(count));
        var entrance = hidden.View(from, count).to(own.Device);
        var output = last?.Rows(from, count, hidden.Length) is { } input ? own.Finish(block, entrance, input.to(own.Device)) : own.Advance(block, entrance);
        return output.DetachFromDisposeScope();
    }

    /// <summary>Rows on which folds are checked and candidates judged, evenly spread.</summary>
    private Tensor Sample()
    {
        using var scope = NewDisposeScope();
        var count = Math.Min(settings.SampleRows, hidden.Rows);
        return cat([.. Enumerable.Range(0, count).Select(i => hidden.View((int)((2L * i + 1) * hidden.Rows / (2 * count)), 1))], 0)
            .to(layer.Device, copy: true).MoveToOuterDisposeScope().DetachFromDisposeScope();
    }

    private bool IsStoredAsHalf(string name) =>
        !toQuantise.Contains(name) && !layer.Graph.Parameters.Any(p => p.Name == name && p.Stored.KeepFloat32);

    private static unsafe void CopyDequantized(QuantizedLinear linear, ComputeDevice where, Tensor parameter)
    {
        if (!where.IsHost)
        {
            using var weights = TensorLinear.Upload(linear, where);
            parameter.copy_(weights);
            return;
        }
        using var values = empty(linear.Rows, linear.Columns);
        linear.Dequantize(TensorMemory.Floats(values));
        parameter.copy_(values);
    }
}
