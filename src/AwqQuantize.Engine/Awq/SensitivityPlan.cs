using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Engine.Awq;

/// <summary>What the measurement of sensitivities looks at, and what it costs, known beforehand.</summary>
public sealed record SensitivityPlan
{
    /// <summary>Tokens on which the divergence is measured, and most on which the linears are quantised for it.</summary>
    private const int MeasuredTokens = 4096, StatisticsTokens = 16384;

    private const int LongestPiece = 512, SmallestShortlist = 32, LargestShortlist = 128;

    /// <summary>Sets of linears that would fit into the budget.</summary>
    public required IReadOnlyList<ModuleSet> Sets { get; init; }

    /// <summary>Weights that may stay float within the budget.</summary>
    public required long SpareWeights { get; init; }

    /// <summary>How many sets at most are taken on to the logits.</summary>
    public required int Shortlist { get; init; }

    /// <summary>Tokens of a piece of a calibration row.</summary>
    public required int PieceLength { get; init; }

    /// <summary>Pieces on which divergence is measured.</summary>
    public required int MeasuredPieces { get; init; }

    /// <summary>Other pieces, whose statistics the linears are quantised on; the same ones where there is only one.</summary>
    public required int StatisticsPieces { get; init; }

    /// <summary>Forwards of a layer over the measured pieces, at most.</summary>
    public required int LayerForwards { get; init; }

    /// <summary>The time of all this, in forwards of all calibration tokens through the model.</summary>
    public required double ForwardEquivalents { get; init; }

    /// <summary>Largest number of bytes of the hidden states that are under way at the same time.</summary>
    public required long HiddenBytes { get; init; }

    /// <summary>Makes the plan; null where the budget leaves nothing to decide.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="kept">Linears of a layer that stay float anyway.</param>
    /// <param name="bitsPerWeight">Of a quantised weight.</param>
    /// <param name="mostBitsPerWeight">On average over everything that could be quantised.</param>
    /// <param name="rows">Calibration rows.</param>
    /// <param name="length">Tokens per row.</param>
    public static SensitivityPlan? Make(
        ModelGraph graph, Func<LayerGraph, IReadOnlyDictionary<string, string>> kept, double bitsPerWeight, double mostBitsPerWeight, int rows, int length)
    {
        var sets = graph.Layers.SelectMany(l => ModuleSet.Of(l, kept(l))).ToList();
        var quantised = graph.Layers.Sum(l => kept(l) is var k ? l.Linears.Where(x => !k.ContainsKey(x.Module)).Sum(x => (long)x.In * x.Out) : 0);
        var spare = (long)Math.Floor(quantised * (mostBitsPerWeight - bitsPerWeight) / (16 - bitsPerWeight));
        sets.RemoveAll(s => s.Weights > spare);
        if (sets.Count == 0 || rows == 0)
            return null;
        var piece = Math.Min(length, LongestPiece);
        var pieces = rows * (length / piece);
        var measured = Math.Clamp(MeasuredTokens / piece, 1, Math.Max(1, pieces / 4));
        var statistics = pieces == 1 ? 1 : Math.Min(pieces - measured, Math.Max(1, StatisticsTokens / piece));
        var tokens = (double)rows * length;
        var shortlist = Math.Min(sets.Count, Math.Clamp((int)(tokens / (measured * piece)), SmallestShortlist, LargestShortlist));
        // The float stream and each set once through their layer; the shortlist through the layers behind, half of them on average.
        var forwards = graph.LayerCount + sets.Count + shortlist * (graph.LayerCount + 1) / 2;
        // To quantise a set takes about a forward of its layer for the statistics, half of one for search and rounding.
        var elsewhere = graph.LayerCount + 1.5 * sets.Count;
        return new SensitivityPlan
        {
            Sets = sets, SpareWeights = spare, Shortlist = shortlist, PieceLength = piece, MeasuredPieces = measured, StatisticsPieces = statistics,
            LayerForwards = forwards, ForwardEquivalents = piece * (forwards * (double)measured + elsewhere * statistics) / (tokens * graph.LayerCount),
            HiddenBytes = 4L * graph.HiddenSize * piece * ((shortlist + 3L) * measured + 2L * statistics),
        };
    }

    /// <summary>Pieces of the rows: the measured ones, evenly spread, and those for the statistics.</summary>
    public (IReadOnlyList<int[]> Measured, IReadOnlyList<int[]> Statistics) Pieces(IReadOnlyList<int[]> rows)
    {
        var all = rows.SelectMany(r => r.Chunk(PieceLength).Where(c => c.Length == PieceLength)).ToList();
        if (all.Count == 1)
            return (all, all);
        var chosen = Enumerable.Range(0, MeasuredPieces).Select(i => (int)((2L * i + 1) * all.Count / (2 * MeasuredPieces))).ToHashSet();
        var others = Enumerable.Range(0, all.Count).Where(i => !chosen.Contains(i)).ToList();
        return ([.. chosen.Order().Select(i => all[i])],
            [.. Enumerable.Range(0, StatisticsPieces).Select(i => all[others[(int)((2L * i + 1) * others.Count / (2 * StatisticsPieces))]])]);
    }
}
