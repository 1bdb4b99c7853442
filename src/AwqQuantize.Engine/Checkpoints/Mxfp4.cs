namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// Stacked experts in MXFP4, as gpt-oss publishes them (OCP Microscaling Formats 1.0): <c>x_blocks</c> [experts, out, groups, 16] with two
/// E2M1 values a byte, the low half first, and <c>x_scales</c> [experts, out, groups] with an E8M0 exponent for 32 values along the
/// input. They stand for a float tensor <c>x</c> of [experts, in, out].
/// </summary>
public static unsafe class Mxfp4
{
    private const string Blocks = "_blocks", Scales = "_scales";
    private const int GroupSize = 32, BytesPerGroup = GroupSize / 2, ExponentBias = 127;

    private static readonly float[] Values = [0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6];

    /// <summary>Whether the folder holds a tensor in this format.</summary>
    public static bool Holds(ModelFolder folder, string name) => folder.Tensors.ContainsKey(name + Blocks) && folder.Tensors.ContainsKey(name + Scales);

    /// <summary>Shapes of all tensors of a folder, the two parts of a packed tensor counting as the one that they stand for.</summary>
    /// <exception cref="AwqException"><c>TensorShapeMismatch</c>: the parts do not fit each other.</exception>
    public static IReadOnlyDictionary<string, long[]> Shapes(ModelFolder folder)
    {
        var shapes = folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape, StringComparer.Ordinal);
        foreach (var name in folder.Tensors.Keys.Where(n => n.EndsWith(Blocks, StringComparison.Ordinal)).Select(n => n[..^Blocks.Length]).Where(n => Holds(folder, n)))
        {
            shapes[name] = ShapeOf(folder, name);
            shapes.Remove(name + Blocks);
            shapes.Remove(name + Scales);
        }
        return shapes;
    }

    /// <summary>The shape of the tensor that the parts stand for, [experts, in, out].</summary>
    /// <exception cref="AwqException"><c>TensorShapeMismatch</c>.</exception>
    public static long[] ShapeOf(ModelFolder folder, string name)
    {
        var (blocks, scales) = (folder.Entry(name + Blocks), folder.Entry(name + Scales));
        if (blocks.Dtype != TensorDtype.U8 || scales.Dtype != TensorDtype.U8 || blocks.Shape is not [var experts, var outputs, var groups, BytesPerGroup]
            || !scales.Shape.SequenceEqual([experts, outputs, groups]))
        {
            throw new AwqException("TensorShapeMismatch", AwqErrorKind.InvalidData,
                $"'{name}{Blocks}' of {blocks.ShapeText} and '{name}{Scales}' of {scales.ShapeText} are no MXFP4 tensor; expected U8 [experts, out, groups, 16] and [experts, out, groups].",
                "Download the model again.");
        }
        return [experts, groups * GroupSize, outputs];
    }

    /// <summary>Writes the values, in the order of <see cref="ShapeOf"/>.</summary>
    public static void Read(ModelFolder folder, string name, float* destination)
    {
        var shape = ShapeOf(folder, name);
        var (inputs, outputs) = (shape[1], shape[2]);
        var groups = inputs / GroupSize;
        var (blocks, scales) = ((nint)folder.Pointer(name + Blocks), (nint)folder.Pointer(name + Scales));
        var target = (nint)destination;
        Parallel.For(0, shape[0] * groups, at =>
        {
            var (expert, group) = (at / groups, at % groups);
            var exponent = (byte*)scales + expert * outputs * groups + group;
            var packed = (byte*)blocks + (expert * outputs * groups + group) * BytesPerGroup;
            var rows = (float*)target + (expert * inputs + group * GroupSize) * outputs;
            for (var o = 0L; o < outputs; o++)
            {
                var scale = MathF.ScaleB(1, exponent[o * groups] - ExponentBias);
                var bytes = packed + o * groups * BytesPerGroup;
                for (var b = 0; b < BytesPerGroup; b++)
                {
                    rows[2 * b * outputs + o] = Values[bytes[b] & 15] * scale;
                    rows[(2 * b + 1) * outputs + o] = Values[bytes[b] >> 4] * scale;
                }
            }
        });
        folder.Release(name + Blocks);
        folder.Release(name + Scales);
    }
}
