namespace AwqQuantize.Engine.Awq;

/// <summary>What the quantiser does with a layer. The defaults are those of the product.</summary>
public sealed record AwqSettings
{
    /// <summary>For the best result whatever it takes: descent to convergence, wider samples for every decision.</summary>
    public static AwqSettings Maximum => new() { Sweeps = 32, SweepBudget = double.PositiveInfinity, SearchRows = 1536, SampleRows = 4 };

    /// <summary>Columns that share a scale and a zero point.</summary>
    public int GroupSize { get; init; } = 128;

    public RoundingMode Rounding { get; init; } = RoundingMode.Compensated;

    /// <summary>Whether per-channel scales are searched and folded.</summary>
    public bool SearchScales { get; init; } = true;

    /// <summary>Whether ranges are fitted to the importance of the inputs, or span minimum and maximum.</summary>
    public bool FitRanges { get; init; } = true;

    /// <summary>Most sweeps of <see cref="GroupDescent"/> after compensated rounding; they end when one brings less than 0.1 %.</summary>
    public int Sweeps { get; init; } = 4;

    /// <summary>
    /// Bounds the sweeps by what they cost: a sweep over a linear takes in/tokens of a forward, all sweeps together at most this
    /// much. At least one is made. Infinity for no bound.
    /// </summary>
    public double SweepBudget { get; init; } = 0.5;

    /// <summary>Whether these sweeps also refit the group scales.</summary>
    public bool RefitScales { get; init; } = true;

    /// <summary>Output rows on which candidates of a scale group are judged.</summary>
    public int SearchRows { get; init; } = 384;

    /// <summary>Calibration rows on which folds are checked, and on which a block's output judges candidates.</summary>
    public int SampleRows { get; init; } = 1;

    /// <summary>Whether the output of the block decides between the best candidates where a non-linear operation follows.</summary>
    public bool JudgeByBlock { get; init; } = true;

    /// <summary>Whether the hidden states move on to the end of the layer, or stay where the last linear has been quantised.</summary>
    public bool LeavesLayer { get; init; } = true;

    /// <summary>Whether <see cref="QuantizedLinear.Residuals"/> are kept for a later tuning of the codes.</summary>
    public bool KeepResiduals { get; init; }

    /// <summary>Whether linears are fitted to what the model's loss makes of their outputs (see <see cref="GradientWalk"/>), and not to the outputs as such.</summary>
    public bool FollowsGradients { get; init; }

    /// <summary>Most bytes of a block's last inputs that are kept, so that the block need not run again for these tokens to be left.</summary>
    public long KeptInputBytes { get; init; } = 1L << 30;

    /// <summary>Every routed expert is fitted to all tokens, not only to those that the router sends it.</summary>
    public bool AllTokensToAllExperts { get; init; }

    /// <summary>Largest relative change of a block's output that a fold may cause.</summary>
    public double FoldTolerance { get; init; } = 1e-3;
}
