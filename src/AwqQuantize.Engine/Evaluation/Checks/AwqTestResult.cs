namespace AwqQuantize.Engine.Evaluation;

/// <summary>Everything that was checked about a quantised checkpoint.</summary>
public sealed record AwqTestResult
{
    /// <summary>The checkpoint's folder.</summary>
    public required string Path { get; init; }

    /// <summary>The float model that it was compared with, or null.</summary>
    public string? SourcePath { get; init; }

    /// <summary>Whether no check failed; warnings do not count.</summary>
    public bool Passed => Checks.All(c => c.Status != CheckStatus.Failed);

    /// <summary>In the order of the checks.</summary>
    public required IReadOnlyList<AwqCheck> Checks { get; init; }

    /// <summary>The checks that failed or warn.</summary>
    public IReadOnlyList<AwqCheck> Findings => [.. Checks.Where(c => c.Status is CheckStatus.Failed or CheckStatus.Warning)];

    public int FailedCount => Checks.Count(c => c.Status == CheckStatus.Failed);

    public int WarningCount => Checks.Count(c => c.Status == CheckStatus.Warning);

    public double? Perplexity => Measurement?.Overall.Perplexity;

    /// <summary>The source's perplexity on the same text.</summary>
    public double? SourcePerplexity => Measurement?.Overall.ReferencePerplexity;

    /// <summary>Mean KL(source ‖ quantised), in nats.</summary>
    public double? KlDivergence => Measurement?.Overall.KlDivergence;

    /// <summary>Share of predictions whose likeliest token is the source's, 0 to 1.</summary>
    public double? TopAgreement => Measurement?.Overall.TopAgreement;

    /// <summary>All figures of the measurement, or null where nothing was measured.</summary>
    public AwqMeasurement? Measurement { get; init; }

    /// <summary>Largest relative error of a module against the source, folds undone; null where there is no source.</summary>
    public double? LargestRelativeError => Modules.Count == 0 ? null : Modules.Max(m => m.RelativeError);

    /// <summary>Each quantised module against the source; empty where there is none.</summary>
    public required IReadOnlyList<ModuleError> Modules { get; init; }

    /// <summary>What the quantised model says after the prompt; null where none was given.</summary>
    public string? SampleText { get; init; }

    public required TimeSpan Duration { get; init; }
}

/// <summary>How far a quantised module is from its source, once the folded scales are undone.</summary>
/// <param name="Module">Full name.</param>
/// <param name="RelativeError">‖Ŵ - W‖ / ‖W‖ (Frobenius).</param>
/// <param name="LargestRowError">The same of the worst output channel.</param>
/// <param name="LargestColumnError">The same of the worst input channel.</param>
public sealed record ModuleError(string Module, double RelativeError, double LargestRowError, double LargestColumnError);
