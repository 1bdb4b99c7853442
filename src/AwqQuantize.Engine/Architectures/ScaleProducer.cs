namespace AwqQuantize.Engine.Architectures;

/// <summary>What kind of parameter makes the scaled activation.</summary>
public enum ScaleProducerKind
{
    /// <summary>A norm that multiplies by its weight: weight and bias are divided by s.</summary>
    Norm,

    /// <summary>A norm that multiplies by 1 + weight: weight becomes (1 + weight)/s - 1, the bias is divided by s.</summary>
    OnePlusNorm,

    /// <summary>A linear: rows of its weight, and entries of its bias, are divided by s to the power <see cref="ScaleProducer.Power"/>.</summary>
    Linear,
}

/// <summary>A parameter that is divided by the scales of a <see cref="ScaleGroup"/>.</summary>
/// <param name="Module">Norm or linear, relative to the layer; its <c>.weight</c> and, if present, <c>.bias</c> are changed.</param>
/// <param name="Kind">How the parameter enters.</param>
/// <param name="Rows">Which rows (or entries) take part; null for all, in order.</param>
/// <param name="Channel">For each of these rows the index of its scale; null for the identity.</param>
/// <param name="Power">Exponent of s: 1, or 0.5 in front of a squared ReLU.</param>
public sealed record ScaleProducer(string Module, ScaleProducerKind Kind, int[]? Rows = null, int[]? Channel = null, double Power = 1);

/// <summary>A linear whose columns are multiplied by the scales of a <see cref="ScaleGroup"/>.</summary>
/// <param name="Module">Name relative to the layer.</param>
/// <param name="Channel">For each column the index of its scale (grouped-query attention repeats them); null for the identity.</param>
public sealed record ScaleConsumer(string Module, int[]? Channel = null);
