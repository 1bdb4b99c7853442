using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>The tensors of one quantised module, and how they must fit each other (the AWQ GEMM format).</summary>
internal static class AwqModule
{
    public const string Codes = ".qweight", Zeros = ".qzeros", Scales = ".scales";

    public static readonly string[] Parts = [Codes, Zeros, Scales];

    /// <summary>What is wrong with a module's tensors; nothing when they can be dequantised.</summary>
    public static IEnumerable<string> Problems(string module, IReadOnlyDictionary<string, TensorEntry> tensors, QuantizationConfig config)
    {
        var found = Parts.Select(p => tensors.GetValueOrDefault(module + p)).ToArray();
        if (found is not [{ } codes, { } zeros, { } scales])
        {
            yield return $"'{module}' has no {string.Join(" and no ", Parts.Where((_, i) => found[i] is null).Select(p => p[1..]))}";
            yield break;
        }
        if (codes.Dtype != TensorDtype.I32)
            yield return $"'{codes.Name}' is of type {codes.Dtype} instead of I32";
        if (zeros.Dtype != TensorDtype.I32)
            yield return $"'{zeros.Name}' is of type {zeros.Dtype} instead of I32";
        if (!scales.Dtype.IsReadableAsFloat())
            yield return $"'{scales.Name}' is of type {scales.Dtype} instead of F16";
        if (codes.Shape is not [> 0 and var inputs, > 0 and var words])
        {
            yield return $"'{codes.Name}' has the shape {codes.ShapeText}, which is no [in, out/8]";
            yield break;
        }
        var group = config.GroupSizeFor((int)inputs);
        if (inputs % group != 0)
        {
            yield return $"'{codes.Name}' has {inputs} inputs, which is no multiple of the group size {group}";
            yield break;
        }
        long[] zeroShape = [inputs / group, words], scaleShape = [inputs / group, 8 * words];
        if (!zeros.Shape.SequenceEqual(zeroShape))
            yield return $"'{zeros.Name}' has the shape {zeros.ShapeText} instead of [{string.Join(", ", zeroShape)}]";
        if (!scales.Shape.SequenceEqual(scaleShape))
            yield return $"'{scales.Name}' has the shape {scales.ShapeText} instead of [{string.Join(", ", scaleShape)}]";
    }
}
