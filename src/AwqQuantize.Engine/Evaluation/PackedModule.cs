using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>The tensors of one quantised module as compressed-tensors packs them, and how they must fit each other.</summary>
internal static unsafe class PackedModule
{
    public const string Codes = ".weight_packed", Scales = ".weight_scale", Zeros = ".weight_zero_point", Shape = ".weight_shape", Groups = ".weight_g_idx";

    public static readonly string[] Parts = [Codes, Scales, Zeros, Shape, Groups];

    /// <summary>Names of modules with at least one of these tensors, in order.</summary>
    public static IEnumerable<string> Names(IEnumerable<string> tensors) =>
        tensors.Where(n => Parts.Any(p => n.EndsWith(p, StringComparison.Ordinal))).Select(n => n[..n.LastIndexOf('.')]).Distinct().Order(StringComparer.Ordinal);

    /// <summary>What is wrong with a module's tensors; nothing when they can be dequantised.</summary>
    /// <param name="module">Its full name.</param>
    /// <param name="tensors">All tensors.</param>
    /// <param name="pointer">First byte of one.</param>
    public static IEnumerable<string> Problems(string module, IReadOnlyDictionary<string, TensorEntry> tensors, Func<TensorEntry, nint> pointer)
    {
        string[] needed = [Codes, Scales, Shape];
        if (needed.Where(p => !tensors.ContainsKey(module + p)).ToList() is { Count: > 0 } missing)
        {
            yield return $"'{module}' has no {string.Join(" and no ", missing.Select(p => p[1..]))}";
            yield break;
        }
        var (codes, scales, shape) = (tensors[module + Codes], tensors[module + Scales], tensors[module + Shape]);
        if (shape.Shape is not [2] || shape.Dtype is not (TensorDtype.I64 or TensorDtype.I32))
        {
            yield return $"'{shape.Name}' is {shape.Dtype} {shape.ShapeText} instead of two integers";
            yield break;
        }
        var (outputs, inputs) = SizeOf(shape, pointer(shape));
        if (outputs <= 0 || inputs <= 0 || outputs > int.MaxValue || inputs > int.MaxValue)
        {
            yield return $"'{shape.Name}' says [{outputs}, {inputs}], which is no size of a matrix";
            yield break;
        }
        if (codes.Dtype != TensorDtype.I32 || !codes.Shape.SequenceEqual([outputs, CompressedTensorsPacking.Words(inputs)]))
            yield return $"'{codes.Name}' is {codes.Dtype} {codes.ShapeText} instead of I32 [{outputs}, {CompressedTensorsPacking.Words(inputs)}]";
        if (!scales.Dtype.IsReadableAsFloat())
            yield return $"'{scales.Name}' is of type {scales.Dtype}, which is no float type";
        if (scales.Shape is not [var rows, > 0 and var groups] || rows != outputs || inputs % groups != 0)
        {
            yield return $"'{scales.Name}' has the shape {scales.ShapeText}, which is not [{outputs}, groups] with groups that divide {inputs}";
            yield break;
        }
        if (tensors.TryGetValue(module + Zeros, out var zeros))
        {
            long[] packed = [CompressedTensorsPacking.Words(outputs), groups], plain = [outputs, groups];
            if (!(zeros.Dtype == TensorDtype.I32 && zeros.Shape.SequenceEqual(packed)) && !(zeros.Dtype == TensorDtype.I8 && zeros.Shape.SequenceEqual(plain)))
                yield return $"'{zeros.Name}' is {zeros.Dtype} {zeros.ShapeText} instead of I32 [{string.Join(", ", packed)}]";
        }
        if (tensors.TryGetValue(module + Groups, out var index))
        {
            if (index.Dtype != TensorDtype.I32 || !index.Shape.SequenceEqual([inputs]))
                yield return $"'{index.Name}' is {index.Dtype} {index.ShapeText} instead of I32 [{inputs}]";
            else if (!IsIndex(pointer(index), inputs, groups))
                yield return $"'{index.Name}' names groups that there are not";
        }
    }

    /// <summary>Rows and columns of the weight that was packed.</summary>
    public static (long Outputs, long Inputs) SizeOf(TensorEntry shape, nint pointer) => shape.Dtype == TensorDtype.I64
        ? (Unaligned<long>(pointer, 0), Unaligned<long>(pointer, 1)) : (Unaligned<int>(pointer, 0), Unaligned<int>(pointer, 1));

    /// <summary>Codes [out, in] and zero points [out, groups], all 0 to 15; the module must have no <see cref="Problems"/>.</summary>
    public static (byte[] Codes, byte[] Zeros, int Groups) Unpack(string module, IReadOnlyDictionary<string, TensorEntry> tensors, Func<TensorEntry, nint> pointer)
    {
        var shape = tensors[module + Shape];
        var (outputs, inputs) = SizeOf(shape, pointer(shape));
        var groups = tensors[module + Scales].Shape[1];
        var (codes, zeros) = (new byte[outputs * inputs], new byte[outputs * groups]);
        fixed (byte* c = codes)
            CompressedTensorsPacking.UnpackRows((int*)pointer(tensors[module + Codes]), c, outputs, inputs);
        if (!tensors.TryGetValue(module + Zeros, out var stored))
            Array.Fill(zeros, (byte)CompressedTensorsPacking.Offset);
        else if (stored.Dtype == TensorDtype.I32)
        {
            fixed (byte* z = zeros)
                CompressedTensorsPacking.UnpackColumns((int*)pointer(stored), z, outputs, groups);
        }
        else
        {
            // Before they were packed too, they were stored as they are.
            var plain = (sbyte*)pointer(stored);
            for (var i = 0; i < zeros.Length; i++)
                zeros[i] = (byte)(plain[i] + CompressedTensorsPacking.Offset);
        }
        return (codes, zeros, (int)groups);
    }

    /// <summary>Columns are in groups one after the other unless an index says otherwise; -1 says that it is not used.</summary>
    private static bool IsIndex(nint pointer, long inputs, long groups)
    {
        var index = (int*)pointer;
        for (long i = 0; i < inputs; i++)
            if (index[i] < -1 || index[i] >= groups)
                return false;
        return true;
    }

    private static T Unaligned<T>(nint pointer, int index)
        where T : unmanaged => System.Runtime.CompilerServices.Unsafe.ReadUnaligned<T>((byte*)pointer + index * sizeof(T));
}
