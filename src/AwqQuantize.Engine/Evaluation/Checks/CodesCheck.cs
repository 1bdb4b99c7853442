using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>The codes use their range: a group that was fitted to its weights reaches from one end nearly to the other.</summary>
internal sealed unsafe class CodesCheck : OutputCheck
{
    // Groups of 32 normal weights span 15 codes when they are fitted to their ends, and at least 12 when they are clipped.
    private const double HealthySpan = 11, FewestSpan = 8;
    private const int AllCodes = 16, FewestCodes = 9;

    public override string Name => "Codes";

    private double smallestSpan = 15;

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder.Quantization is null && folder.Packed is null)
        {
            yield return NotRun("config.json does not say how the tensors are quantised.");
            yield break;
        }
        foreach (var module in folder.StoredModules)
        {
            folder.Cancel.ThrowIfCancellationRequested();
            if (folder.Problems(module).Any())
                continue;
            var use = Measure(folder, module);
            smallestSpan = Math.Min(smallestSpan, use.Span);
            if (use.Codes < FewestCodes)
                yield return Failed(module, $"Only {use.Codes} of 16 codes occur.");
            else if (use.Codes < AllCodes)
                yield return Warning(module, $"Only {use.Codes} of 16 codes occur.");
            if (use.Span < FewestSpan)
                yield return Failed(module, $"The codes of a group span {use.Span:F1} of 15 steps on average.");
            else if (use.Span < HealthySpan)
                yield return Warning(module, $"The codes of a group span {use.Span:F1} of 15 steps on average.");
            if (use.Zeros is [0] or [15])
                yield return Failed(module, $"All zero points are {use.Zeros[0]}, so that all weights have one sign.");
            if (use.DeadRows > 0)
                yield return Warning(module, $"{use.DeadRows} output channels have only weights that are zero.");
        }
    }

    private static (int Codes, double Span, int[] Zeros, int DeadRows) Measure(OutputFolder folder, string module)
    {
        var (codes, zeros, groups) = folder.Packed is null ? Unpack(folder, module) : PackedModule.Unpack(module, folder.Tensors, folder.Address);
        var outputs = zeros.Length / groups;
        var inputs = codes.Length / outputs;
        var group = inputs / groups;
        var (used, usedZeros, span, spanned, dead) = (0u, 0u, 0L, 0L, 0);
        for (var row = 0; row < outputs; row++)
        {
            var alive = false;
            for (var g = 0; g < groups; g++)
            {
                var zero = zeros[(long)row * groups + g];
                usedZeros |= 1u << zero;
                var seen = 0u;
                for (var i = (long)row * inputs + g * group; i < (long)row * inputs + (g + 1) * group; i++)
                    seen |= 1u << codes[i];
                used |= seen;
                // A group of nothing but zeros has no range to use.
                if (seen == 1u << zero)
                    continue;
                alive = true;
                span += 31 - System.Numerics.BitOperations.LeadingZeroCount(seen) - System.Numerics.BitOperations.TrailingZeroCount(seen);
                spanned++;
            }
            if (!alive)
                dead++;
        }
        return (System.Numerics.BitOperations.PopCount(used), spanned == 0 ? 0 : (double)span / spanned,
            [.. Enumerable.Range(0, AllCodes).Where(z => (usedZeros >> z & 1) != 0)], dead);
    }

    private static (byte[] Codes, byte[] Zeros, int Groups) Unpack(OutputFolder folder, string module)
    {
        var (packed, packedZeros) = (folder.Tensors[module + AwqModule.Codes], folder.Tensors[module + AwqModule.Zeros]);
        var (inputs, outputs) = ((int)packed.Shape[0], (int)packed.Shape[1] * 8);
        var group = folder.Quantization!.GroupSizeFor(inputs);
        var groups = inputs / group;
        var codes = new byte[(long)inputs * outputs];
        var zeros = new byte[(long)groups * outputs];
        fixed (byte* c = codes)
            AwqPacking.Unpack((int*)folder.Pointer(packed), c, outputs, inputs);
        fixed (byte* z = zeros)
            AwqPacking.Unpack((int*)folder.Pointer(packedZeros), z, outputs, groups);
        return (codes, zeros, groups);
    }

    protected override string Praise(OutputFolder folder) => $"All 16 codes occur in every module; groups span at least {smallestSpan:F1} of 15 steps on average.";
}
