using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// What a layer costs: floating-point operations of matrix products (those of slower shapes count more), weights whose ranges are
/// fitted, and bytes that are read and written. The shares of the peak are those of tests/benchmarks.
/// </summary>
/// <param name="Forward">Operations of one forward of all tokens.</param>
/// <param name="Matrix">Operations of everything, the forwards among them.</param>
/// <param name="Fits">Weights fitted.</param>
/// <param name="Bytes">Read and written.</param>
public sealed record WorkEstimate(double Forward, double Matrix, double Fits, double Bytes)
{
    // Shares of the rate of a forward's products that other shapes reach where 576 columns meet.
    private const double GramShare = 0.75, BlockShare = 0.35, SweepShare = 0.45, FactorShare = 0.35;

    // Candidates per scale group: identity, and for two kinds five coarse ratios and up to four finer ones.
    private const int Candidates = 19;

    // The recurrence inside of a block of columns, in fits per weight.
    private const double RecurrenceFits = 0.5;

    // Sweeps after which descent to convergence ends: on average 6 to 8 on the trained models, with rows that know of each other and without.
    private const double UsualSweeps = 8;

    private const double DiskRate = 400e6;

    // Seconds that each linear takes for being one more: calls into libtorch, threads that are woken. Felt where experts are small.
    private const double SecondsPerLinear = 0.005;

    public static WorkEstimate None { get; } = new(0, 0, 0, 0);

    /// <summary>The part of <see cref="Matrix"/> that a device makes in what it makes forwards in: forwards and Gram matrices.</summary>
    public double Products { get; init; }

    /// <summary>The part of <see cref="Matrix"/> that tuning makes in what it makes gradients in.</summary>
    public double Gradients { get; init; }

    /// <summary>The part of <see cref="Bytes"/> that are hidden states, which a run on a device seldom writes.</summary>
    public double States { get; init; }

    /// <summary>Linears that are calibrated.</summary>
    public double Linears { get; init; }

    /// <summary>Seconds on a machine.</summary>
    public double Seconds(MachineSpeed speed)
    {
        var computing = Products / speed.ProductRate + Gradients / speed.GradientRate + (Matrix - Products - Gradients) / speed.MatrixRate + Fits / speed.FitRate + Linears * SecondsPerLinear;
        return speed.WritesBehind ? Math.Max(computing, (Bytes - States) / DiskRate) : computing + Bytes / DiskRate;
    }

    public static WorkEstimate operator +(WorkEstimate a, WorkEstimate b) =>
        new(a.Forward + b.Forward, a.Matrix + b.Matrix, a.Fits + b.Fits, a.Bytes + b.Bytes) { Products = a.Products + b.Products, Gradients = a.Gradients + b.Gradients, States = a.States + b.States, Linears = a.Linears + b.Linears };

    /// <summary>The same work several times over.</summary>
    public static WorkEstimate operator *(WorkEstimate a, double times) =>
        new(a.Forward * times, a.Matrix * times, a.Fits * times, a.Bytes * times) { Products = a.Products * times, Gradients = a.Gradients * times, States = a.States * times, Linears = a.Linears * times };

    /// <summary>Work of one layer.</summary>
    /// <param name="layer">Its shape.</param>
    /// <param name="stayFloat">Linears that do.</param>
    /// <param name="settings">What is done.</param>
    /// <param name="tokens">Calibration tokens; 0 for plain rounding.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="beside">How many times longer a forward takes than its products (<see cref="LayerSpeed.Forward"/>); null for what is usual.</param>
    public static WorkEstimate Of(LayerGraph layer, IReadOnlyDictionary<string, string> stayFloat, AwqSettings settings, long tokens, int length, double? beside = null)
    {
        var bytes = layer.Parameters.Sum(p => p.Shape.Aggregate(2.0, (a, b) => a * b)) * 1.6;
        var quantized = layer.Linears.Where(l => !stayFloat.ContainsKey(l.Module)).ToList();
        if (tokens == 0)
            return new WorkEstimate(0, 0, quantized.Sum(l => 0.15 * l.In * l.Out), bytes);
        var hidden = layer.Blocks[0] is var first ? layer.Linears.Where(l => l.Site == first.InputSite).Select(l => l.In).DefaultIfEmpty(1).Max() : 1;
        var elementwise = beside ?? LayerSpeed.UsualForward(hidden);
        double forward = 0, matrix = 0, fits = 0;
        for (var block = 0; block < layer.BlockCount; block++)
        {
            var blocks = layer.Steps[block];
            var last = layer.SitesOf(block)[^1];
            var own = Own(layer, block);
            var all = Operations(layer, block, tokens, length);
            var end = blocks[0] is MixtureSpec or AttentionMixtureSpec ? [] : own.Where(l => l.Site == last).ToList();
            var tail = end.Sum(l => Operations(l, layer, tokens));
            // For the tokens whose last inputs are kept, only their readers run again to leave the block.
            var kept = end.Count > 0 && blocks.Count == 1 ? Math.Min(1, settings.KeptInputBytes / (4.0 * tokens * end[0].In)) : 0;
            var finish = kept * tail + (1 - kept) * all;
            forward += all * elementwise;
            matrix += (all - tail + finish) * elementwise;
        }
        var products = matrix;
        matrix = 0;
        foreach (var site in quantized.GroupBy(l => l.Site))
        {
            double n = site.First().In, seen = tokens * (settings.AllTokensToAllExperts ? 1 : Share(site.First(), layer));
            var wide = Wide(n);
            products += seen * (n * n + 512 * n) / (GramShare * Math.Pow(wide, 0.3));
            matrix += n * n * n / 3 / (FactorShare * wide);
            var groups = settings.SearchScales ? layer.ScaleGroups.Count(g => g.Site == site.Key) : 0;
            var sampled = Math.Min(settings.SearchRows, site.Sum(l => (double)l.Out)) * groups * Candidates;
            matrix += sampled * n * n / (BlockShare * wide);
            fits += sampled * n * (1 + RecurrenceFits);
            var outputs = site.Sum(l => (double)l.Out);
            var sweeps = settings.Rounding == RoundingMode.Nearest ? 0 : Math.Min(Math.Min(settings.Sweeps, UsualSweeps), Math.Max(1, settings.SweepBudget * seen / n));
            matrix += outputs * n * n / (BlockShare * wide) + sweeps * 2 * outputs * n * n / (SweepShare * wide);
            fits += outputs * n * (1 + RecurrenceFits * (1 + sweeps));
        }
        var states = 8.0 * tokens * hidden;
        return new WorkEstimate(forward, matrix + products, fits, bytes + states) { Products = products, States = states, Linears = quantized.Count };
    }

    /// <summary>How much more of the peak wide matrices reach: twice as much at 4096 columns (figures in tests/benchmarks).</summary>
    private static double Wide(double columns) => Math.Pow(Math.Clamp(columns / 576, 0.5, 8), 0.35);

    /// <summary>Floating-point operations of the matrix products of a forward.</summary>
    /// <param name="layer">Its shape.</param>
    /// <param name="tokens">In all.</param>
    /// <param name="length">Tokens per row.</param>
    internal static double Operations(LayerGraph layer, long tokens, int length) => Enumerable.Range(0, layer.BlockCount).Sum(b => Operations(layer, b, tokens, length));

    private static double Operations(LayerGraph layer, int block, long tokens, int length) =>
        Own(layer, block).Sum(l => Operations(l, layer, tokens)) + layer.Steps[block].OfType<AttentionSpec>().Sum(a => 2.0 * tokens * length * a.Heads * a.HeadDim);

    /// <summary>A block's linears.</summary>
    private static List<LinearSpec> Own(LayerGraph layer, int block)
    {
        var sites = layer.SitesOf(block);
        return [.. layer.Linears.Where(l => sites.Contains(l.Site) || l.Expert >= 0 && layer.Steps[block].Any(b => l.Site.StartsWith(b.Name + ".", StringComparison.Ordinal)))];
    }

    private static double Operations(LinearSpec linear, LayerGraph layer, long tokens) => 2.0 * linear.In * linear.Out * tokens * Share(linear, layer);

    /// <summary>Part of the tokens that reach a linear.</summary>
    internal static double Share(LinearSpec linear, LayerGraph layer) => linear.Expert < 0 ? 1
        : layer.Blocks.First(b => linear.Site.StartsWith(b.Name + ".", StringComparison.Ordinal)) switch
        {
            MixtureSpec mixture => (double)mixture.Experts.PerToken / mixture.Experts.Count,
            AttentionMixtureSpec heads => (double)heads.PerToken / heads.Count,
            _ => 1,
        };
}
