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

    private IDisposable? claim;

    private Curvature(Tensor h, Tensor factor, int[] order, float[] diagonal, ComputeDevice device)
    {
        (H, Factor, Order, Pivots, Device) = (h, factor, order, diagonal, device);
    }

    /// <summary>Where the matrices are, and where linears are rounded with them.</summary>
    public ComputeDevice Device { get; private set; }

    /// <summary>[in, in] float32, symmetric, damped, in the order of the columns.</summary>
    public Tensor H { get; private set; }

    /// <summary>
    /// [in, in] float32, unit lower triangular: row and column r belong to column Order[r]. Columns are visited from the last index
    /// to the first, that is in descending diagonal of H ("descending activation order").
    /// </summary>
    public Tensor Factor { get; private set; }

    /// <summary>Column at each index of <see cref="Factor"/>, ascending in importance.</summary>
    public int[] Order { get; }

    /// <summary>D: for each column (in its own order) the weight of its squared rounding error once later columns compensate.</summary>
    public float[] Pivots { get; }

    public int Columns => Order.Length;

    /// <summary>Damps and factors a Gram matrix where it lies.</summary>
    /// <param name="gram">[in, in] float32, symmetric, on the device; taken over, and changed in place.</param>
    /// <param name="device">Where it lies.</param>
    public static Curvature From(Tensor gram, ComputeDevice device)
    {
        if (device.IsHost)
            return From(gram);
        var claim = device.Reserve(StageMemory.Curvature(gram.shape[0]));
        try
        {
            var made = FromDevice(gram, device);
            made.claim = claim;
            return made;
        }
        catch
        {
            claim.Dispose();
            throw;
        }
    }

    private static Curvature FromDevice(Tensor gram, ComputeDevice device)
    {
        using var scope = NewDisposeScope();
        var diagonal = gram.diagonal();
        using var host = diagonal.cpu().contiguous();
        var keys = new ReadOnlySpan<float>(TensorMemory.Floats(host), (int)gram.shape[0]).ToArray();
        var mean = keys.Average(k => (double)k) is var average and not 0 ? average : 1;
        var order = Enumerable.Range(0, keys.Length).ToArray();
        Array.Sort(keys, order);
        diagonal.copy_(where(diagonal.gt(0), diagonal, full_like(diagonal, (float)mean)));
        return Factored(gram, order, device, mean, Damping, add => diagonal.add_(add), factor =>
        {
            var roots = factor.diagonal().clone();
            factor.div_(roots);
            var squares = ComputeDevice.Download(roots.pow_(2)).contiguous();
            var pivots = new float[order.Length];
            for (var r = 0; r < pivots.Length; r++)
                pivots[order[r]] = TensorMemory.Floats(squares)[r];
            return pivots;
        });
    }

    /// <summary>A copy on another device.</summary>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: it does not fit.</exception>
    public Curvature CopyTo(ComputeDevice device)
    {
        var claim = device.Reserve(StageMemory.Curvature(Columns));
        try
        {
            using var scope = NewDisposeScope();
            var (h, factor) = (device.Upload(H), device.Upload(Factor));
            return new Curvature(h.DetachFromDisposeScope(), factor.DetachFromDisposeScope(), Order, [.. Pivots], device) { claim = claim };
        }
        catch
        {
            claim.Dispose();
            throw;
        }
    }

    /// <summary>A copy in host memory.</summary>
    public Curvature OnHost() => new(H.to(CPU, copy: true).DetachFromDisposeScope(), Factor.to(CPU, copy: true).DetachFromDisposeScope(), Order, [.. Pivots], ComputeDevice.Host);

    /// <summary>Brings the matrices to the host.</summary>
    public void MoveToHost()
    {
        if (Device.IsHost)
            return;
        (H, Factor, Device) = (Moved(H), Moved(Factor), ComputeDevice.Host);
        claim?.Dispose();
        claim = null;

        static Tensor Moved(Tensor tensor)
        {
            var host = ComputeDevice.Download(tensor);
            if (!ReferenceEquals(host, tensor))
                tensor.Dispose();
            return host.DetachFromDisposeScope();
        }
    }

    /// <summary>Damps and factors a Gram matrix.</summary>
    /// <param name="gram">[in, in] float32, symmetric; taken over, and changed in place.</param>
    /// <param name="damping">Added to the diagonal, as a part of its mean.</param>
    public static Curvature From(Tensor gram, double damping = Damping)
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

        return Factored(gram, order, ComputeDevice.Host, mean, damping, add =>
        {
            for (var i = 0L; i < n; i++)
                TensorMemory.Floats(gram)[i * n + i] += add;
        }, factor => Normalize(factor, order));
    }

    /// <param name="damp">Adds to the diagonal.</param>
    /// <param name="normalize">Divides the factor's columns by their diagonal elements; returns the squares of these, by column.</param>
    private static Curvature Factored(Tensor gram, int[] order, ComputeDevice device, double mean, double damping, Action<float> damp, Func<Tensor, float[]> normalize)
    {
        var added = 0.0;
        for (; ; damping *= 10)
        {
            damp((float)(damping * mean - added));
            added = damping * mean;
            if (Try() is { } factored)
                return factored;
            if (damping > 1e3)
                throw new AwqException("StatisticsSingular", AwqErrorKind.InvalidData,
                    "The Gram matrix of a linear's inputs cannot be factored, however strongly it is damped.",
                    "Check the model for NaN or infinite weights, or use other calibration data.");
        }

        Curvature? Try()
        {
            try
            {
                return TryFactor(gram, order, device) is { } factor ? new Curvature(gram, factor, order, normalize(factor), device) : null;
            }
            catch (Exception e) when (OutOfMemory.Is(e))
            {
                damp((float)-added); // as it was, for the next attempt
                throw;
            }
        }
    }

    /// <summary>Follows a fold: inputs were divided by s, so H becomes diag(1/s) H diag(1/s).</summary>
    /// <param name="s">[in].</param>
    public void Rescale(float[] s)
    {
        var n = Columns;
        for (var i = 0; i < n; i++)
            Pivots[i] /= s[i] * s[i];
        if (!Device.IsHost)
        {
            using var scope = NewDisposeScope();
            var scale = Device.Upload(tensor(s));
            H.div_(scale.unsqueeze(1)).div_(scale.unsqueeze(0));
            var visited = Device.Upload(tensor(Order.Select(c => s[c]).ToArray()));
            Factor.mul_(visited.unsqueeze(0)).div_(visited.unsqueeze(1));
            return;
        }
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
    }

    public void Dispose()
    {
        H.Dispose();
        Factor.Dispose();
        claim?.Dispose();
    }

    private static Tensor? TryFactor(Tensor gram, int[] order, ComputeDevice on)
    {
        if (!on.IsHost)
        {
            using var scope = NewDisposeScope();
            var index = tensor(order.Select(i => (long)i).ToArray(), device: gram.device);
            var (lower, info) = linalg.cholesky_ex(gram.index_select(0, index).index_select(1, index), check_errors: false);
            return info.item<int>() == 0 && lower.diagonal().isfinite().all().item<bool>() ? lower.contiguous().MoveToOuterDisposeScope().DetachFromDisposeScope() : null;
        }
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
