using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Runs;

/// <summary>How much is worked on at once. It decides the order of sums, so a run that is taken up again keeps it.</summary>
/// <param name="RowsAtOnce">Calibration rows that run together.</param>
/// <param name="KeptInputBytes">Most bytes of a block's last inputs that are kept, so that the block need not run again to be left.</param>
public sealed record Batching(int RowsAtOnce, long KeptInputBytes)
{
    // Enough for the matrix kernels' peak, few enough to stay small.
    private const int TokensAtOnce = 2048;

    // On a device, whose many units want more at once.
    private const int DeviceTokensAtOnce = 16_384;

    // Part of the limit that is planned with; the rest is for what cannot be foreseen.
    private const double Part = 0.9;

    // Part of the promise on memory that is planned with: plans were up to 5 % short where layers are large.
    private const double Foreseen = 0.94;

    /// <summary>What fits a device, in the same order; less is found out on the way.</summary>
    /// <param name="memory">Knows what each choice needs.</param>
    /// <param name="rows">Calibration rows.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="team">Who shares the rows.</param>
    /// <param name="free">Bytes that the device has.</param>
    /// <param name="keptInputs">Bytes of inputs that are kept where there is room.</param>
    /// <returns>Null where not even a single row fits: the layers will be worked on by the CPU.</returns>
    public static Batching? ForDevice(MemoryEstimate memory, int rows, int length, DeviceTeam team, long free, long keptInputs)
    {
        var room = (long)(free * Part);
        foreach (var kept in new[] { keptInputs, 0 })
            for (var atOnce = Math.Max(1, Math.Min((rows + team.Members.Count - 1) / team.Members.Count, DeviceTokensAtOnce / Math.Max(1, length))); atOnce > 0; atOnce /= 2)
                if (memory.OnDevice(team.Lead, atOnce, kept) <= room)
                    return new Batching(atOnce, kept);
        return null;
    }

    /// <summary>What fits, in the order of the retreat: keep no inputs, fewer rows at once, hidden states on disk.</summary>
    /// <param name="memory">Knows what each choice needs.</param>
    /// <param name="rows">Calibration rows; 0 without calibration.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="free">Bytes that may be taken.</param>
    /// <param name="keptInputs">Bytes of inputs that are kept where there is room.</param>
    /// <param name="onDisk">Whether hidden states have to be on disk.</param>
    public static Batching Choose(MemoryEstimate memory, int rows, int length, long free, long keptInputs, out bool onDisk)
    {
        var most = Math.Max(1, Math.Min(rows, TokensAtOnce / Math.Max(1, length)));
        onDisk = false;
        if (rows == 0)
            return new Batching(most, 0);
        var room = (long)(free * Part);
        // Kept inputs save time; for that alone no more memory is taken than is promised. What is free decides between all and
        // nothing only, for how many are kept decides the last bits of the result.
        var spare = (long)(Foreseen * memory.Promised) - MemoryEstimate.FreshProcess - memory.HiddenStates - memory.Working(most, 0);
        foreach (var kept in new[] { Math.Clamp(spare, 0, keptInputs), 0 })
            for (var atOnce = most; atOnce > 0; atOnce /= kept > 0 ? most + 1 : 2)
                if (memory.HiddenStates + memory.Working(atOnce, kept) <= room)
                    return new Batching(atOnce, kept);
        onDisk = true;
        for (var atOnce = most; atOnce > 1; atOnce /= 2)
            if (memory.Working(atOnce, 0) <= room)
                return new Batching(atOnce, 0);
        return new Batching(1, 0);
    }
}
