using System.Numerics;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Rounds the columns of a linear one after another in descending activation order; each is rounded to a target that makes up for
/// the errors made so far (see <see cref="Curvature"/>). Scales and zero points are fixed beforehand ("static groups"), so the
/// result fits the AWQ format unchanged.
/// </summary>
public static unsafe class CompensatedRounding
{
    internal const int Block = 128;

    /// <summary>Rounds all rows.</summary>
    /// <param name="weights">[rows, in] float32, contiguous; not changed.</param>
    /// <param name="curvature">Of the inputs.</param>
    /// <param name="into">Has scales and zero points for weights · <paramref name="s"/>; receives the codes.</param>
    /// <param name="s">Candidate scales of the columns, [in]: codes are those of weights · s, the loss is that of codes / s. Null for ones.</param>
    /// <returns>Σ over rows of e H eᵀ with e = weights - dequantised / s.</returns>
    public static double Round(Tensor weights, Curvature curvature, QuantizedLinear into, float[]? s = null)
    {
        var losses = new double[into.Rows];
        // Rows know nothing of each other; in bands their copies stay small.
        var band = RowBands.Height(into.Columns);
        for (var first = 0; first < into.Rows; first += band)
        {
            using var some = weights.narrow(0, first, Math.Min(band, into.Rows - first));
            using var buffers = new RoundingBuffers(some, curvature);
            RoundBand(buffers, first, curvature, into, s, losses);
        }
        return losses.Sum();
    }

    /// <summary>The same for rows that are rounded again and again, with other candidates.</summary>
    /// <param name="buffers">Of these rows.</param>
    internal static double RoundAgain(RoundingBuffers buffers, Curvature curvature, QuantizedLinear into, float[]? s)
    {
        Array.Clear(buffers.Losses);
        RoundBand(buffers, 0, curvature, into, s, buffers.Losses);
        return buffers.Losses.Sum();
    }

    private static void RoundBand(RoundingBuffers buffers, int first, Curvature curvature, QuantizedLinear into, float[]? s, double[] losses)
    {
        var n = into.Columns;
        for (var end = n; end > 0; end -= Block)
        {
            var start = Math.Max(0, end - Block);
            using var inner = NewDisposeScope();
            var targets = buffers.Targets(end - start);
            targets.copy_(buffers.Permuted.narrow(1, start, end - start)); // not the same memory: both are needed
            if (end < n)
                targets.addmm_(buffers.Errors.narrow(1, end, n - end), curvature.Factor.narrow(0, end, n - end).narrow(1, start, end - start), 1, 1);
            RoundBlock(targets, buffers, first, curvature, into, s, start, end - start, losses);
        }
    }

    private static void RoundBlock(
        Tensor targets, RoundingBuffers buffers, int first, Curvature curvature, QuantizedLinear into, float[]? s, int start, int width, double[] losses)
    {
        var (n, groups, size) = (into.Columns, into.Groups, into.GroupSize);
        float* t = TensorMemory.Floats(targets), w = TensorMemory.Floats(buffers.Permuted), e = TensorMemory.Floats(buffers.Errors);
        buffers.TakeTriangle(curvature, start, width);
        var triangle = buffers.Triangle;
        var lanes = Vector<float>.Count;
        RowParallel.For((int)targets.shape[0], width * (width / 2 + 8L), (from, to) =>
        {
            fixed (float* tri = triangle)
            fixed (byte* codes = into.Codes)
                for (long row = from; row < to; row++)
                {
                    var target = t + row * width;
                    var loss = 0.0;
                    for (var k = width - 1; k >= 0; k--)
                    {
                        var column = curvature.Order[start + k];
                        var g = (first + row) * groups + column / size;
                        var (scale, zero) = (into.Scales[g], (float)into.Zeros[g]);
                        var factor = s == null ? 1 : s[column];
                        var code = GroupRange.Code(target[k] * factor, 1 / scale, zero);
                        var value = (code - zero) * scale / factor;
                        codes[(first + row) * n + column] = (byte)code;
                        var miss = target[k] - value;
                        loss += (double)miss * miss * curvature.Pivots[column];
                        var error = w[row * n + start + k] - value;
                        e[row * n + start + k] = error;
                        var line = tri + k * width;
                        var m = 0;
                        var spread = new Vector<float>(error);
                        for (; m + lanes <= width && m < k; m += lanes)
                            Vector.Store(Vector.Load(target + m) + spread * Vector.Load(line + m), target + m);
                        for (; m < k; m++)
                            target[m] += error * line[m];
                    }
                    losses[first + row] += loss;
                }
        });
    }
}
