namespace AwqQuantize.Engine.Architectures;

/// <summary>How a norm measures its input.</summary>
public enum NormKind
{
    /// <summary>Divides by the root of the mean square.</summary>
    Rms,

    /// <summary>Subtracts the mean, divides by the standard deviation.</summary>
    Layer,
}

/// <summary>A normalisation over the last dimension.</summary>
/// <param name="Module">Name of the module, relative to the layer (or full, outside of layers); a label only where it has no parameters.</param>
/// <param name="Kind">What is computed.</param>
/// <param name="Size">Channels.</param>
/// <param name="Epsilon">Added to the variance or mean square.</param>
/// <param name="OnePlus">Multiplies by 1 + weight.</param>
/// <param name="HasWeight">Whether there is a weight.</param>
/// <param name="HasBias">Whether there is a bias.</param>
public sealed record NormSpec(string Module, NormKind Kind, int Size, double Epsilon, bool OnePlus, bool HasWeight, bool HasBias);
