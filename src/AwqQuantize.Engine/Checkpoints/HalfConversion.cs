namespace AwqQuantize.Engine.Checkpoints;

/// <summary>What was lost on the way to float16.</summary>
/// <param name="Overflows">Finite values that rounded past 65504 and became infinite.</param>
/// <param name="NonFinite">Values that were infinite or NaN before.</param>
public readonly record struct HalfConversion(long Overflows, long NonFinite)
{
    /// <summary>Whether every value is finite, before and after.</summary>
    public bool IsExact => Overflows == 0 && NonFinite == 0;
}
