namespace AwqQuantize.Engine.Evaluation;

/// <summary>How well a model predicts some texts, and how far it is from another one.</summary>
public sealed record AwqMeasurement
{
    /// <summary>Folder of the model.</summary>
    public required string Path { get; init; }

    /// <summary>Folder of the model that it is compared with, or null.</summary>
    public string? ReferencePath { get; init; }

    /// <summary>Tokens of a window.</summary>
    public required int Context { get; init; }

    /// <summary>Tokens from one window's start to the next's.</summary>
    public required int Stride { get; init; }

    /// <summary>Over all texts.</summary>
    public required TextMeasurement Overall { get; init; }

    /// <summary>Over all texts.</summary>
    public double Perplexity => Overall.Perplexity;

    /// <summary>Over all texts, in nats; null without a reference.</summary>
    public double? KlDivergence => Overall.KlDivergence;

    /// <summary>Over all texts, 0 to 1; null without a reference.</summary>
    public double? TopAgreement => Overall.TopAgreement;

    /// <summary>Each text by itself.</summary>
    public required IReadOnlyList<TextMeasurement> Texts { get; init; }

    public required TimeSpan Duration { get; init; }
}

/// <summary>
/// Figures over the predicted tokens of a text. Errors are standard errors of the mean, computed from whole windows, for tokens of
/// one window depend on each other; they are null where there is only one window. Figures that need a reference model are null
/// where there is none.
/// </summary>
public sealed record TextMeasurement
{
    /// <summary>The file, or <c>all</c>.</summary>
    public required string Source { get; init; }

    public required int Windows { get; init; }

    /// <summary>Tokens that were predicted.</summary>
    public required long Predictions { get; init; }

    /// <summary>exp of the mean negative log-likelihood.</summary>
    public required double Perplexity { get; init; }

    public double? PerplexityError { get; init; }

    /// <summary>The reference model's perplexity.</summary>
    public double? ReferencePerplexity { get; init; }

    /// <summary>Mean KL(reference ‖ model) of the next-token distributions, in nats.</summary>
    public double? KlDivergence { get; init; }

    public double? KlDivergenceError { get; init; }

    /// <summary>Share of predictions whose likeliest token is the same in both models, 0 to 1.</summary>
    public double? TopAgreement { get; init; }

    public double? TopAgreementError { get; init; }
}
