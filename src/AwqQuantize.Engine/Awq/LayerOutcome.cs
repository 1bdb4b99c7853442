namespace AwqQuantize.Engine.Awq;

/// <summary>What became of one scale group.</summary>
/// <param name="Name">Producers and consumers.</param>
/// <param name="Kind">How the chosen scales were formed.</param>
/// <param name="Ratio">Their exponent.</param>
/// <param name="Spread">Largest over smallest scale.</param>
/// <param name="Loss">Of the chosen scales on the sampled rows.</param>
/// <param name="IdentityLoss">Of no scales at all, same measure.</param>
/// <param name="FoldError">Relative change of the block's output by the fold, in float32.</param>
/// <param name="Reverted">Whether that was too much, so that the group was left alone.</param>
public sealed record ScaleGroupOutcome(
    string Name, ScaleKind Kind, double Ratio, double Spread, double Loss, double IdentityLoss, double FoldError, bool Reverted);

/// <summary>What became of one quantised linear.</summary>
/// <param name="Module">Name relative to the layer.</param>
/// <param name="Loss">Mean squared error of its output on the calibration inputs, summed over output channels.</param>
/// <param name="Tokens">Calibration tokens that reached it.</param>
public sealed record LinearOutcome(string Module, double Loss, long Tokens);

/// <summary>What became of one layer.</summary>
public sealed record LayerOutcome
{
    public required int Layer { get; init; }

    public required IReadOnlyList<ScaleGroupOutcome> Groups { get; init; }

    public required IReadOnlyList<LinearOutcome> Linears { get; init; }

    /// <summary>Linears that stay float, and why.</summary>
    public required IReadOnlyDictionary<string, string> Float { get; init; }

    /// <summary>Tokens per calibration row that this layer saw.</summary>
    public required int SequenceLength { get; init; }

    /// <summary>Largest activation magnitude seen at any linear's input.</summary>
    public required float LargestActivation { get; init; }

    public required IReadOnlyList<string> Warnings { get; init; }

    /// <summary>Seconds by stage.</summary>
    public required IReadOnlyDictionary<string, double> Seconds { get; init; }

    /// <summary>Most resident bytes while the layer was worked on; null in the file that lies in the destination.</summary>
    public long? PeakMemory { get; init; }
}
