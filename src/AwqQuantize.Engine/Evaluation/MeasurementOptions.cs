namespace AwqQuantize.Engine.Evaluation;

/// <summary>What is measured, and on what.</summary>
public sealed record MeasurementOptions
{
    /// <summary>Text files; each is measured by itself as well.</summary>
    public required IReadOnlyList<string> Texts { get; init; }

    /// <summary>Tokens of a window; shortened to what the models have positions for, and to the text.</summary>
    public int Context { get; init; } = 2048;

    /// <summary>Tokens from one window's start to the next's; null for the context, so that windows do not overlap.</summary>
    public int? Stride { get; init; }

    /// <summary>Most tokens of a text that are looked at; null for all.</summary>
    public int? MaximumTokens { get; init; }

    /// <summary>Whether every window begins with the tokenizer's token for the beginning of a text, in front of its own tokens.</summary>
    public bool AddBos { get; init; }

    /// <summary><c>auto</c>, <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</summary>
    public string Device { get; init; } = "cpu";
}
