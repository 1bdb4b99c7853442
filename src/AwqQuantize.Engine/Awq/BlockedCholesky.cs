using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Cholesky factorisation in place, block by block (Golub and Van Loan, algorithm 4.2.2): torch's own needs two more matrices of
/// the same size, which for the widest inputs are the largest thing in memory.
/// </summary>
internal static class BlockedCholesky
{
    private const int Block = 256, Stripe = 1024;

    /// <summary>Replaces the lower triangle of a symmetric matrix by that of L, a = L Lᵀ.</summary>
    /// <param name="a">[n, n] float32; only its lower triangle is read. What is above the diagonal is undefined afterwards.</param>
    /// <returns>False where it is not positive definite; a is then undefined.</returns>
    public static bool TryFactor(Tensor a)
    {
        var n = a.shape[0];
        for (long k = 0; k < n; k += Block)
        {
            using var scope = NewDisposeScope();
            var width = Math.Min(Block, n - k);
            var diagonal = a.narrow(0, k, width).narrow(1, k, width);
            var (lower, info) = linalg.cholesky_ex(diagonal, check_errors: false);
            if (info.item<int>() != 0 || !lower.diagonal().isfinite().all().item<bool>())
                return false;
            diagonal.copy_(lower);
            var next = k + width;
            if (next == n)
                break;
            var below = a.narrow(0, next, n - next).narrow(1, k, width);
            below.copy_(linalg.solve_triangular(lower.t(), below, upper: true, left: false));
            for (var from = next; from < n; from += Stripe)
            {
                using var inner = NewDisposeScope();
                var stripe = Math.Min(Stripe, n - from);
                a.narrow(0, from, n - from).narrow(1, from, stripe)
                    .addmm_(below.narrow(0, from - next, n - from), below.narrow(0, from - next, stripe).t(), 1, -1);
            }
        }
        return true;
    }
}
