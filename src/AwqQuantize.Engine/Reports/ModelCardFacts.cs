namespace AwqQuantize.Engine.Reports;

/// <summary>What a model card says beyond what the checkpoint's own files tell.</summary>
public sealed record ModelCardFacts
{
    /// <summary>The float model's name on the Hub, e.g. <c>meta-llama/Llama-3.1-8B</c>; null where it has none.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Name under which readers load the quantised model; null: the folder's name.</summary>
    public string? Name { get; init; }

    /// <summary>Further settings of the quantisation, e.g. <c>Calibration</c>: <c>128 rows of 2048 tokens</c>, in order.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Settings { get; init; } = [];

    public IReadOnlyList<ModelCardEvaluation> Evaluations { get; init; } = [];
}

/// <summary>One measurement of the quantised model against its source.</summary>
/// <param name="Text">What was read.</param>
/// <param name="SourcePerplexity">Of the float model.</param>
/// <param name="Perplexity">Of the quantised one.</param>
/// <param name="KlDivergence">Mean over all predictions, in nats; null where it was not measured.</param>
public sealed record ModelCardEvaluation(string Text, double SourcePerplexity, double Perplexity, double? KlDivergence);
