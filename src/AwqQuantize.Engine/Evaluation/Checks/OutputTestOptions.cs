namespace AwqQuantize.Engine.Evaluation;

/// <summary>What is checked about a finished checkpoint.</summary>
public sealed record OutputTestOptions
{
    /// <summary>Folder of the checkpoint.</summary>
    public required string Path { get; init; }

    /// <summary>Folder of the float model that it was made from; null where it is not at hand.</summary>
    public string? SourcePath { get; init; }

    /// <summary>Numbers of devices that vLLM may divide the model over.</summary>
    public IReadOnlyList<int> TensorParallelSizes { get; init; } = [1];

    /// <summary>Texts to measure on; none to measure nothing.</summary>
    public IReadOnlyList<string> Texts { get; init; } = [];

    /// <summary>Tokens of a window of the measurement.</summary>
    public int Context { get; init; } = 512;

    /// <summary>Most tokens of each text; null for all.</summary>
    public int? MaximumTokens { get; init; }

    /// <summary>Largest KL(source ‖ quantised) that passes, in nats; null for no limit.</summary>
    public double? MaximumKl { get; init; }

    /// <summary>Largest perplexity that passes, as a multiple of the source's; null for no limit.</summary>
    public double? MaximumPerplexityRatio { get; init; }

    /// <summary>What the model continues; null for no sample.</summary>
    public string? Prompt { get; init; }

    /// <summary>Tokens of the sample.</summary>
    public int SampleTokens { get; init; } = 48;

    /// <summary><c>auto</c>, <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</summary>
    public string Device { get; init; } = "cpu";
}
