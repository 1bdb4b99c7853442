namespace AwqQuantize.Engine.Evaluation;

/// <summary>Every scale is finite and positive, and no weight overflows float16.</summary>
internal sealed class ScalesCheck : OutputCheck
{
    private const float LargestHalf = 65504;

    public override string Name => "Scales";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        foreach (var module in folder.StoredModules)
        {
            folder.Cancel.ThrowIfCancellationRequested();
            if (FloatTensorsCheck.Read(folder, folder.ScalesOf(module)) is not { } scales)
                continue;
            if (scales.Count(s => !float.IsFinite(s)) is > 0 and var infinite)
                yield return Failed(module, $"{infinite} of {scales.Length} scales are infinite or not a number.");
            if (scales.Count(s => s == 0) is > 0 and var zero)
                yield return Failed(module, $"{zero} of {scales.Length} scales are zero.");
            if (scales.Count(s => s < 0) is > 0 and var negative)
                yield return Failed(module, $"{negative} of {scales.Length} scales are negative.");
            // The largest weight of a group is up to 15 steps from zero.
            if (scales.Any(s => float.IsFinite(s) && s * 15 > LargestHalf))
                yield return Failed(module, $"A scale of {scales.Where(float.IsFinite).Max()} makes weights that float16 cannot hold.");
        }
    }

    protected override string Praise(OutputFolder folder) => "All scales are finite and positive.";
}
