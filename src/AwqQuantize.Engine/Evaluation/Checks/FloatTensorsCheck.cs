using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>What stayed float holds numbers, and not only zeros.</summary>
internal sealed class FloatTensorsCheck : OutputCheck
{
    public override string Name => "FloatTensors";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        foreach (var name in folder.Tensors.Keys.Order(StringComparer.Ordinal))
        {
            folder.Cancel.ThrowIfCancellationRequested();
            if (name.EndsWith(AwqModule.Scales, StringComparison.Ordinal) || Read(folder, name) is not { } values)
                continue;
            if (values.Count(v => !float.IsFinite(v)) is > 0 and var infinite)
                yield return Failed(name, $"{infinite} of {values.Length} values are infinite or not a number.");
            else if (name.EndsWith(".weight", StringComparison.Ordinal) && Array.TrueForAll(values, v => v == 0))
            {
                // A norm that multiplies by 1 + weight may have zeros; a matrix of zeros has no sense anywhere.
                yield return folder.Tensors[name].Shape.Length > 1 ? Failed(name, "All values are zero.") : Warning(name, "All values are zero.");
            }
        }
    }

    /// <summary>A float tensor's values; null where there is none, or it is of another type.</summary>
    public static unsafe float[]? Read(OutputFolder folder, string name)
    {
        if (!folder.Tensors.TryGetValue(name, out var entry) || !entry.Dtype.IsReadableAsFloat() || entry.ElementCount > Array.MaxLength)
            return null;
        var values = new float[entry.ElementCount];
        fixed (float* destination = values)
            FloatConversion.ToFloat(entry.Dtype, folder.Pointer(entry), destination, values.Length);
        return values;
    }

    protected override string Praise(OutputFolder folder) => "All values of the tensors that stayed float are finite.";
}
