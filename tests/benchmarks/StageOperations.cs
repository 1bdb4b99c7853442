using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;

namespace AwqQuantize.Benchmarks;

/// <summary>Floating-point operations in matrix products of each stage of <see cref="LayerQuantizer"/>, counted from the shapes of a dense layer.</summary>
internal static class StageOperations
{
    // Of a scale group: identity, and for two kinds five coarse ratios and up to four finer ones.
    private const int Candidates = 19;

    /// <summary>By the stage's name. Sweeps of descent count as often as they may be made; they may end earlier.</summary>
    public static Dictionary<string, double> Of(LayerGraph layer, AwqSettings settings, double tokens, int length)
    {
        var stages = new Dictionary<string, double>();
        for (var block = 0; block < layer.BlockCount; block++)
        {
            var sites = layer.SitesOf(block);
            var attention = layer.Blocks[block] is AttentionSpec a ? 2 * tokens * length * a.Heads * a.HeadDim : 0;
            double before = 0;
            foreach (var site in sites)
            {
                var readers = layer.Linears.Where(l => l.Site == site).ToList();
                double n = readers[0].In, outputs = readers.Sum(l => (double)l.Out), forward = 2 * tokens * n * outputs;
                // The block runs from its entrance to each site; of the symmetric Gram matrix the tiles on and above the diagonal.
                Add("statistics", before + tokens * (n * n + 512 * n));
                Add("factor", n * n * n / 3);
                Add("search", layer.ScaleGroups.Count(g => g.Site == site) * Candidates * Math.Min(settings.SearchRows, outputs) * n * n);
                Add("rounding", outputs * n * n + Math.Min(settings.Sweeps, Math.Max(1, settings.SweepBudget * tokens / n)) * 2 * outputs * n * n);
                before += forward + (site == sites[0] ? attention : 0);
                if (site != sites[^1])
                    continue;
                var kept = Math.Min(1, settings.KeptInputBytes / (4 * tokens * n));
                Add("propagation", kept * forward + (1 - kept) * before);
            }
        }
        return stages;

        void Add(string stage, double operations) => stages[stage] = stages.GetValueOrDefault(stage) + operations;
    }
}
