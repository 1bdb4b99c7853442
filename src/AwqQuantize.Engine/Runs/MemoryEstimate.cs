using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// What a run holds at its fullest moment, from sizes that are known beforehand. A layer's inputs are worked on one after the other, so
/// the largest of them decides.
/// </summary>
public sealed class MemoryEstimate
{
    /// <summary>A fresh process with libtorch loaded and its code compiled, without any model.</summary>
    public const long FreshProcess = 230L << 20;

    /// <summary>The same where libtorch is not needed.</summary>
    public const long FreshWithoutTorch = 110L << 20;

    /// <summary>What a process that has just loaded libtorch still grows by until all code has run once.</summary>
    public const long Warming = 24L << 20;

    // What the C library keeps of freed blocks below its threshold, and what of the runtime's heap is not collected yet.
    private const long Slack = 24L << 20;

    private readonly ModelGraph graph;
    private readonly QuantizationOptions options;
    private readonly int rows;
    private readonly int length;

    /// <param name="graph">The model.</param>
    /// <param name="options">Group size and what stays float.</param>
    /// <param name="rows">Calibration rows; 0 without calibration.</param>
    /// <param name="length">Tokens per row.</param>
    public MemoryEstimate(ModelGraph graph, QuantizationOptions options, int rows, int length) =>
        (this.graph, this.options, this.rows, this.length) = (graph, options, rows, length);

    /// <summary>Bytes of the hidden states of all rows.</summary>
    public long HiddenStates => 4L * rows * length * graph.HiddenSize;

    /// <summary>
    /// What a run may take where nobody says so: twice the largest layer in float32, its Gram matrices, the hidden states and 1 GB.
    /// </summary>
    public long Promised => HiddenStates + (1L << 30) + Distinct().Max(l =>
        2 * 4 * l.ElementCount + l.Linears.DistinctBy(x => x.Site).Sum(x => 4L * x.In * x.In));

    /// <summary>Bytes beyond process and hidden states.</summary>
    /// <param name="rowsAtOnce">Rows that run together.</param>
    /// <param name="keptInputs">Most bytes of a block's last inputs that are kept.</param>
    public long Working(int rowsAtOnce, long keptInputs)
    {
        long most = 0;
        foreach (var layer in Distinct())
        {
            var kept = ModuleSelection.StayFloat(layer, options.GroupSize, options.ExcludeModule);
            var quantized = layer.Linears.Where(l => !kept.ContainsKey(l.Module)).ToList();
            var weights = 4 * layer.ElementCount;
            var codes = quantized.Sum(l => (long)l.In * l.Out * (options.GroupSize + 5) / options.GroupSize);
            most = Math.Max(most, rows == 0 ? Plain(quantized) : weights + codes + Sites(layer, quantized, rowsAtOnce, keptInputs));
        }
        return most + Slack;
    }

    /// <summary>Bytes of the host beyond process and hidden states where a device does the work: the layer that is read ahead, and the codes of the one that is written.</summary>
    public long BesideDevice(ComputeDevice device) => device.HostOverhead + Slack
        + Distinct().Max(l => 4 * l.ElementCount + l.Linears.Sum(x => (long)x.In * x.Out)
            + (options.Settings.FollowsGradients ? l.Linears.Max(x => 4L * x.In * (2L * x.In + x.Out) + Coupled(x)) : 0));

    /// <summary>Bytes that a device needs for the widest layer, hidden states apart.</summary>
    /// <param name="device">Which.</param>
    /// <param name="rowsAtOnce">Rows that run together.</param>
    /// <param name="keptInputs">Most bytes of a block's last inputs that are kept.</param>
    public long OnDevice(ComputeDevice device, int rowsAtOnce, long keptInputs) => device.Overhead + Distinct().Select(layer =>
    {
        var kept = ModuleSelection.StayFloat(layer, options.GroupSize, options.ExcludeModule);
        var quantized = layer.Linears.Where(l => !kept.ContainsKey(l.Module)).ToList();
        var forward = StageMemory.Forward(layer, rowsAtOnce, length, device.ForwardType(graph.HiddenSize));
        var most = forward;
        for (var block = 0; block < layer.BlockCount; block++)
        {
            var sites = layer.SitesOf(block);
            foreach (var site in sites)
            {
                var readers = quantized.Where(l => l.Site == site).ToList();
                var experts = layer.ExpertsBehind(site).SelectMany(e => e).Where(quantized.Contains).ToList();
                if (readers.Count + experts.Count == 0)
                    continue;
                var channels = readers.Concat(experts).First().In;
                var inputs = 4L * rows * length * channels;
                if (experts.Count == 0)
                    inputs = site == sites[^1] ? Math.Min(inputs, keptInputs) : 0;
                var rounding = readers.Concat(experts).Max(StageMemory.Rounding);
                // Each expert has a curvature of its own beside that of all tokens.
                var curvatures = StageMemory.Curvature(channels) + experts.Select(l => StageMemory.Curvature(l.In) + StageMemory.Factor(l.In)).DefaultIfEmpty().Max();
                most = Math.Max(most, inputs + Math.Max(Math.Max(StageMemory.Gram(channels) + forward, forward), StageMemory.Gram(channels) + curvatures
                    + Math.Max(StageMemory.Factor(channels), Math.Max(StageMemory.Search(options.Settings.SearchRows, channels), rounding))));
            }
        }
        return 4 * layer.ElementCount + most;
    }).DefaultIfEmpty().Max();

    /// <summary>Layers of one shape need the same.</summary>
    private IEnumerable<LayerGraph> Distinct() => graph.Layers.DistinctBy(l => (l.Linears.Count, l.Linears.Sum(x => (long)x.In * x.Out), l.Parameters.Count));

    /// <summary>Two linears, one computed and one written: their words, and the source's pages; some rows on each core.</summary>
    private static long Plain(List<LinearSpec> quantized) => quantized.Select(l => 5L * l.In * l.Out + Environment.ProcessorCount * 128 * 5L * l.In).DefaultIfEmpty().Max();

    private long Sites(LayerGraph layer, List<LinearSpec> quantized, int rowsAtOnce, long keptInputs)
    {
        long most = 0;
        for (var block = 0; block < layer.BlockCount; block++)
        {
            var sites = layer.SitesOf(block);
            var linears = layer.Linears.Where(l => l.Expert < 0 && sites.Contains(l.Site)).ToList();
            // A forward up to the site: the norm and its squares, what the linears give, and the statistics' copy of the input.
            var width = 3L * graph.HiddenSize + linears.Sum(l => (long)l.Out) + linears.Select(l => l.In).DefaultIfEmpty().Max();
            var forward = 4L * rowsAtOnce * length * width;
            foreach (var site in sites)
            {
                var readers = quantized.Where(l => l.Site == site).ToList();
                var experts = layer.ExpertsBehind(site).SelectMany(e => e).Where(quantized.Contains).ToList();
                if (readers.Count + experts.Count == 0)
                    continue;
                var channels = readers.Concat(experts).First().In;
                var gram = 4L * channels * channels;
                var inputs = 4L * rows * length * channels;
                if (experts.Count == 0)
                    inputs = site == sites[^1] ? Math.Min(inputs, keptInputs) : 0;
                else if (inputs > keptInputs)
                    inputs = Math.Max(keptInputs, (long)(inputs * Busiest(experts[0], layer))) + forward;
                most = Math.Max(most, inputs + Math.Max(gram + forward, 2 * gram + Math.Max(Bands(readers), Experts(experts, layer, rowsAtOnce))));
            }
            most = Math.Max(most, forward);
        }
        return most;
    }

    /// <summary>Rounding a linear, or judging candidates for linears that share an input.</summary>
    private long Bands(List<LinearSpec> readers)
    {
        if (readers.Count == 0)
            return 0;
        var largest = readers.Max(l => 4L * l.In * l.Out);
        var coupled = options.Settings.FollowsGradients ? readers.Max(Coupled) : 0;
        return Math.Max(coupled, Math.Max(3 * Math.Min(RowBands.Bytes, largest), readers.Count > 1 ? readers.Sum(l => 4L * l.In * l.Out) + 2 * largest : largest));
    }

    /// <summary>Rounding rows together: errors and what follows from them, and the matrices of what the loss makes of the outputs.</summary>
    private static long Coupled(LinearSpec linear)
    {
        var height = (long)CoupledRounding.Part(linear.Out, 0).Count;
        return 4 * height * (5L * linear.In + 2 * height) + GradientPlan.GramBytes(linear);
    }

    /// <summary>Part of the tokens that the expert with most of them gets, who gets half as many again as is usual.</summary>
    private static double Busiest(LinearSpec expert, LayerGraph layer) => Math.Min(1, 1.5 * WorkEstimate.Share(expert, layer));

    /// <summary>One expert at a time: its inputs, their Gram matrices and factors.</summary>
    private long Experts(List<LinearSpec> experts, LayerGraph layer, int rowsAtOnce)
    {
        if (experts.Count == 0)
            return 0;
        var widest = experts.Max(l => (long)Math.Max(l.In, l.Out));
        var seen = options.CalibrateEveryExpert ? (long)rowsAtOnce * length : (long)(rows * length * Busiest(experts[0], layer));
        return 3 * 4 * widest * widest + 4 * seen * experts[0].In + 6 * 4L * rowsAtOnce * length * widest + Bands([experts.MaxBy(l => (long)l.In * l.Out)!]);
    }
}
