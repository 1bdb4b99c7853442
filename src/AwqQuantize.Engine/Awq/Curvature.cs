using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// The quadratic form that rounding errors are measured with: loss(E) = Σ rows e H eᵀ, H = XᵀX/T of a linear's inputs, damped.
/// Its factor H = V D Vᵀ (V unit triangular along the visiting order) turns compensated rounding into a recurrence without any
/// inverse: column k is rounded to the target w_k + Σ_j (w_j - ŵ_j) V[j, k] over the columns j visited before, and
/// loss = Σ_k D_k (target_k - ŵ_k)². This is GPTQ's update (arXiv 2210.17323) in the form of QuIP (arXiv 2307.13304, section 4.1).
/// </summary>
public sealed unsafe class Curvature : IDisposable
{
    private const double Damping = 0.01;

    private Curvature(Tensor h, Tensor factor, int[] order, float[] diagonal)
    {
        (H, Factor, Order, Pivots) = (h, factor, order, diagonal);
    }

    /// <summary>[in, in] float32, symmetric, damped, in the order of the columns.</summary>
    public Tensor H { get; }

    /// <summary>
    /// [in, in] float32, unit lower triangular: row and column r belong to column Order[r]. Columns are visited from the last index
    /// to the first, that is in descending diagonal of H ("descending activation order").
    /// </summary>
    public Tensor Factor { get; }

    /// <summary>Column at each index of <see cref="Factor"/>, ascending in importance.</summary>
    public int[] Order { get; }

    /// <summary>D: for each column (in its own order) the weight of its squared rounding error once later columns compensate.</summary>
    public float[] Pivots { get; }

    public int Columns => Order.Length;

    /// <summary>Damps and factors a Gram matrix.</summary>
    /// <param name="gram">[in, in] float32, symmetric; taken over, and changed in place.</param>
    public static Curvature From(Tensor gram)
    {
        var n = (int)gram.shape[0];
        var h = TensorMemory.Floats(gram);
        double mean = 0;
        for (var i = 0L; i < n; i++)
            mean += h[i * n + i];
        mean /= n;
        if (mean == 0)
            mean = 1;
        var order = Enumerable.Range(0, n).ToArray();
        var keys = order.Select(i => h[(long)i * n + i]).ToArray();
        for (var i = 0L; i < n; i++) // a channel that was never active: any code is right, so its weights are rounded on their own
            if (h[i * n + i] <= 0)
                h[i * n + i] = (float)mean;
        Array.Sort(keys, order);

        var added = 0.0;
        for (var damping = Damping; ; damping *= 10)
        {
            for (var i = 0L; i < n; i++)
                h[i * n + i] += (float)(damping * mean - added);
            added = damping * mean;
            if (TryFactor(gram, order) is { } factor)
                return new Curvature(gram, factor, order, Normalize(factor, order));
            if (damping > 1e3)
                throw new AwqException("StatisticsSingular", AwqErrorKind.InvalidData,
                    "The Gram matrix of a linear's inputs cannot be factored, however strongly it is damped.",
                    "Check the model for NaN or infinite weights, or use other calibration data.");
        }
    }

    /// <summary>Follows a fold: inputs were divided by s, so H becomes diag(1/s) H diag(1/s).</summary>
    /// <param name="s">[in].</param>
    public void Rescale(float[] s)
    {
        var n = Columns;
        var h = TensorMemory.Floats(H);
        var v = TensorMemory.Floats(Factor);
        RowParallel.For(n, n, (from, to) =>
        {
            for (long i = from; i < to; i++)
            {
                var si = s[i];
                for (var j = 0; j < n; j++)
                    h[i * n + j] /= si * s[j];
                var sr = s[Order[i]];
                for (var j = 0; j < i; j++)
                    v[i * n + j] *= s[Order[j]] / sr;
            }
        });
        for (var i = 0; i < n; i++)
            Pivots[i] /= s[i] * s[i];
    }

    public void Dispose()
    {
        H.Dispose();
        Factor.Dispose();
    }

    private static Tensor? TryFactor(Tensor gram, int[] order)
    {
        var n = order.Length;
        var permuted = empty(n, n).DetachFromDisposeScope();
        var (h, v) = ((nint)TensorMemory.Floats(gram), (nint)TensorMemory.Floats(permuted));
        RowParallel.For(n, n, (from, to) =>
        {
            for (long i = from; i < to; i++)
            {
                var source = (float*)h + (long)order[i] * n;
                var target = (float*)v + i * n;
                for (var j = 0; j <= i; j++)
                    target[j] = source[order[j]];
            }
        });
        var positive = false;
        try
        {
            positive = BlockedCholesky.TryFactor(permuted);
            return positive ? permuted : null;
        }
        finally
        {
            if (!positive)
                permuted.Dispose();
        }
    }

    /// <summary>Divides each column by its diagonal element and clears what is above it, in place; returns the squared diagonal by column.</summary>
    private static float[] Normalize(Tensor factor, int[] order)
    {
        var n = order.Length;
        var v = TensorMemory.Floats(factor);
        var inverse = new float[n];
        var pivots = new float[n];
        for (var r = 0L; r < n; r++)
        {
            inverse[r] = 1 / v[r * n + r];
            pivots[order[r]] = v[r * n + r] * v[r * n + r];
        }
        RowParallel.For(n, n, (from, to) =>
        {
            for (long r = from; r < to; r++)
            {
                for (var c = 0; c < r; c++)
                    v[r * n + c] *= inverse[c];
                v[r * n + r] = 1;
                new Span<float>(v + r * n + r + 1, (int)(n - r - 1)).Clear();
            }
        });
        return pivots;
    }
}
