using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Bytes that the stages of a layer take on a device besides what stays there: asked for before a stage begins, and added up by the
/// plan beforehand.
/// </summary>
internal static class StageMemory
{
    /// <summary>
    /// A forward of some rows: what the widest linear reads and gives, and the residual stream with its norms; where products are
    /// made in half precision, their copies as well.
    /// </summary>
    public static long Forward(LayerGraph layer, int rows, int length, ScalarType type) =>
        4L * rows * length * ((type == ScalarType.Float32 ? 3L : 4L) * layer.Linears.Select(l => Math.Max(l.In, l.Out)).DefaultIfEmpty(1).Max() + 4L * layer.HiddenSize);

    /// <summary>A Gram matrix while it is summed up.</summary>
    public static long Gram(long channels) => 4 * channels * channels;

    /// <summary>A curvature: the matrix and its factor, for as long as its linears are worked on.</summary>
    public static long Curvature(long channels) => 2 * Gram(channels);

    /// <summary>Factoring it: the matrix in another order, and what the factorisation itself takes.</summary>
    public static long Factor(long channels) => 2 * Gram(channels);

    /// <summary>Judging candidates on sampled rows, some side by side.</summary>
    public static long Search(long rows, long channels) => 6 * 4 * rows * channels * ScaleSearch.AtOnce(rows, channels);

    /// <summary>Rounding a linear: its weights in the order of visiting, errors, codes, and what fitting ranges takes.</summary>
    public static long Rounding(LinearSpec linear) => 6L * 4 * linear.In * linear.Out;
}
