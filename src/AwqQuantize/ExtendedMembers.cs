using System.Management.Automation;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize;

/// <summary>Members that the module's types file adds: what is worth sorting by, without a path through nested objects.</summary>
public static class ExtendedMembers
{
    /// <summary>Bytes of the source's tensors over those of the checkpoint's.</summary>
    public static double CompressionRatio(PSObject instance) => Of<AwqQuantizationResult>(instance) is { Size: > 0 } result ? (double)result.SourceSize / result.Size : double.NaN;

    /// <summary>The checks that failed or warn.</summary>
    public static AwqCheck[] Findings(PSObject instance) => [.. Of<AwqTestResult>(instance).Checks.Where(c => c.Status is CheckStatus.Failed or CheckStatus.Warning)];

    /// <summary>Over all texts.</summary>
    public static double Perplexity(PSObject instance) => Of<AwqMeasurement>(instance).Overall.Perplexity;

    /// <summary>Over all texts, in nats; null without a reference.</summary>
    public static double? KlDivergence(PSObject instance) => Of<AwqMeasurement>(instance).Overall.KlDivergence;

    /// <summary>Over all texts, 0 to 1; null without a reference.</summary>
    public static double? TopAgreement(PSObject instance) => Of<AwqMeasurement>(instance).Overall.TopAgreement;

    private static T Of<T>(PSObject instance) => (T)instance.BaseObject;
}
