using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AwqQuantize.Engine.Awq;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// The CPU's speed when nothing else runs, from a fifth of a second of our own loops and without libtorch: for a glance at many
/// models. A run measures itself, as busy as the machine then is (<see cref="MachineSpeed"/>).
/// </summary>
public static unsafe class RoughSpeed
{
    // What matrix products of a model's widths reach of the rate of multiplications in registers.
    private const double MatrixShare = 0.6;

    private const int BurstLength = 4096, Chains = 8;

    private static readonly Lazy<MachineSpeed> Measured = new(Measure);

    /// <summary>Measured once per process.</summary>
    public static MachineSpeed OfProcessor => Measured.Value;

    private static MachineSpeed Measure() => new(MatrixShare * Environment.ProcessorCount * Products(), Environment.ProcessorCount * Fits());

    /// <summary>Floating-point operations per second of one core.</summary>
    private static double Products()
    {
        var operations = 2.0 * BurstLength * Chains * (Vector512.IsHardwareAccelerated ? Vector512<float>.Count : Vector256<float>.Count);
        var sum = 0f;
        var seconds = Shortest(40, () => sum += Vector512.IsHardwareAccelerated ? Burst512() : Burst256());
        // The sum is used, so that no compiler leaves the work out.
        return float.IsFinite(sum) ? operations / seconds : operations;
    }

    /// <summary>Weights per second whose ranges one core fits.</summary>
    private static double Fits()
    {
        const int Group = 128, Times = 16;
        var random = new Random(1);
        var weights = new float[Group];
        for (var i = 0; i < weights.Length; i++)
            weights[i] = random.NextSingle() - 0.5f;
        // Long enough for the compiler to come back to a method that is called often.
        return Group * Times / Shortest(160, () =>
        {
            fixed (float* w = weights)
                for (var i = 0; i < Times; i++)
                    RangeFit.Group(w, w, Group);
        });
    }

    /// <summary>Seconds of the shortest of many repetitions: the one that nobody interrupted.</summary>
    private static double Shortest(int milliseconds, Action work)
    {
        var (start, best) = (Stopwatch.GetTimestamp(), double.MaxValue);
        while (Stopwatch.GetElapsedTime(start).TotalMilliseconds < milliseconds)
        {
            var from = Stopwatch.GetTimestamp();
            work();
            best = Math.Min(best, Stopwatch.GetElapsedTime(from).TotalSeconds);
        }
        return Math.Max(best, 1e-9);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Burst512()
    {
        var factor = Vector512.Create(0.5f);
        var (a, b, c, d, e, f, g, h) = (factor, factor, factor, factor, factor, factor, factor, factor);
        for (var i = 0; i < BurstLength; i++)
        {
            a = Vector512.FusedMultiplyAdd(a, factor, factor);
            b = Vector512.FusedMultiplyAdd(b, factor, factor);
            c = Vector512.FusedMultiplyAdd(c, factor, factor);
            d = Vector512.FusedMultiplyAdd(d, factor, factor);
            e = Vector512.FusedMultiplyAdd(e, factor, factor);
            f = Vector512.FusedMultiplyAdd(f, factor, factor);
            g = Vector512.FusedMultiplyAdd(g, factor, factor);
            h = Vector512.FusedMultiplyAdd(h, factor, factor);
        }
        return Vector512.Sum(a + b + c + d + e + f + g + h);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Burst256()
    {
        var factor = Vector256.Create(0.5f);
        var (a, b, c, d, e, f, g, h) = (factor, factor, factor, factor, factor, factor, factor, factor);
        for (var i = 0; i < BurstLength; i++)
        {
            a = Vector256.FusedMultiplyAdd(a, factor, factor);
            b = Vector256.FusedMultiplyAdd(b, factor, factor);
            c = Vector256.FusedMultiplyAdd(c, factor, factor);
            d = Vector256.FusedMultiplyAdd(d, factor, factor);
            e = Vector256.FusedMultiplyAdd(e, factor, factor);
            f = Vector256.FusedMultiplyAdd(f, factor, factor);
            g = Vector256.FusedMultiplyAdd(g, factor, factor);
            h = Vector256.FusedMultiplyAdd(h, factor, factor);
        }
        return Vector256.Sum(a + b + c + d + e + f + g + h);
    }
}
