namespace AwqQuantize.Engine.Architectures;

/// <summary>Factors of what a Mamba mixer's input linear gives (falcon_h1).</summary>
public sealed record MambaMultipliers(double Gate, double X, double B, double C, double Step)
{
    /// <summary>Null where all are 1.</summary>
    internal static MambaMultipliers? Read(DescriptionNode node)
    {
        double Factor(string key) => node.Number($"{key}_multiplier") ?? 1;
        var factors = new MambaMultipliers(Factor("gate"), Factor("x"), Factor("b"), Factor("c"), Factor("step"));
        return factors == new MambaMultipliers(1, 1, 1, 1, 1) ? null : factors;
    }
}
