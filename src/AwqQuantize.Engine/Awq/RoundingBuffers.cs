using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>What <see cref="CompensatedRounding"/> works in: some rows in the order of its visit, and room for targets and errors.</summary>
internal sealed class RoundingBuffers : IDisposable
{
    private readonly Tensor targets;

    /// <param name="rows">[rows, in] float32; copied.</param>
    /// <param name="curvature">Gives the order.</param>
    public RoundingBuffers(Tensor rows, Curvature curvature)
    {
        using var scope = NewDisposeScope();
        Permuted = rows.index_select(1, tensor(curvature.Order.Select(i => (long)i).ToArray())).DetachFromDisposeScope();
        Errors = empty_like(Permuted).DetachFromDisposeScope();
        targets = empty(rows.shape[0] * CompensatedRounding.Block).DetachFromDisposeScope();
        Losses = new double[rows.shape[0]];
    }

    /// <summary>The rows, their columns in the order in which they are rounded, from the last to the first.</summary>
    public Tensor Permuted { get; }

    /// <summary>Of the columns that are rounded already, in the same order.</summary>
    public Tensor Errors { get; }

    /// <summary>The factor within a block, with zeros on and above the diagonal, so that whole vectors can be added.</summary>
    public float[] Triangle { get; } = new float[CompensatedRounding.Block * CompensatedRounding.Block];

    /// <summary>Fills <see cref="Triangle"/> for a block of columns.</summary>
    public unsafe void TakeTriangle(Curvature curvature, int start, int width)
    {
        var factor = TensorMemory.Floats(curvature.Factor);
        Array.Clear(Triangle);
        for (var r = 0; r < width; r++)
            for (var c = 0; c < r; c++)
                Triangle[r * width + c] = factor[(long)(start + r) * curvature.Columns + start + c];
    }

    /// <summary>Of each row.</summary>
    public double[] Losses { get; }

    /// <summary>Room for the targets of a block, [rows, width], contiguous; the caller disposes the view.</summary>
    public Tensor Targets(int width)
    {
        using var some = targets.narrow(0, 0, Losses.Length * width);
        return some.view(Losses.Length, width);
    }

    public void Dispose()
    {
        Permuted.Dispose();
        Errors.Dispose();
        targets.Dispose();
    }
}
