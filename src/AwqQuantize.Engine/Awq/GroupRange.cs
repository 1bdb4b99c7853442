using System.Numerics;
using System.Runtime.CompilerServices;

namespace AwqQuantize.Engine.Awq;

/// <summary>Scale and zero point of one group of weights (notes: the format's "Zero point and scale").</summary>
public static unsafe class GroupRange
{
    private const float SmallestScale = 5.9604645e-8f; // the smallest positive float16

    /// <summary>Rounds a scale to float16, and away from 0 and infinity, as the file stores it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Storable(float scale) => Math.Clamp((float)(Half)scale, SmallestScale, 65504f);

    /// <summary>Scale and zero point that span a range, which is widened to hold 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (float Scale, float Zero) Span(float min, float max)
    {
        min = MathF.Min(min, 0);
        max = MathF.Max(max, 0);
        if (max == min)
            return (1, 0);
        var scale = Storable((max - min) / 15);
        return (scale, Math.Clamp(MathF.Round(-min / scale), 0, 15));
    }

    /// <summary>Smallest and largest of n values; n is a multiple of the vector width or handled element by element.</summary>
    public static (float Min, float Max) Extremes(float* w, int n)
    {
        float min = w[0], max = w[0];
        var i = 0;
        if (n >= Vector<float>.Count)
        {
            var (low, high) = (Vector.Load(w), Vector.Load(w));
            for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
            {
                var v = Vector.Load(w + i);
                low = Vector.Min(low, v);
                high = Vector.Max(high, v);
            }
            for (var j = 0; j < Vector<float>.Count; j++)
                (min, max) = (MathF.Min(min, low[j]), MathF.Max(max, high[j]));
        }
        for (; i < n; i++)
            (min, max) = (MathF.Min(min, w[i]), MathF.Max(max, w[i]));
        return (min, max);
    }

    /// <summary>Σ weight[i] · (w[i] - Q(w[i]))² for one scale and zero point.</summary>
    public static float Loss(float* w, float* weight, int n, float scale, float zero)
    {
        var inverse = 1 / scale;
        var i = 0;
        var sum = Vector<float>.Zero;
        Vector<float> vInverse = new(inverse), vScale = new(scale), low = new(-zero), high = new(15 - zero);
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
        {
            var v = Vector.Load(w + i);
            var q = Vector.Min(Vector.Max(Vector.Round(v * vInverse), low), high);
            var d = v - q * vScale;
            sum += d * d * Vector.Load(weight + i);
        }
        var total = Vector.Sum(sum);
        for (; i < n; i++)
        {
            var d = w[i] - Math.Clamp(MathF.Round(w[i] * inverse), -zero, 15 - zero) * scale;
            total += d * d * weight[i];
        }
        return total;
    }

    /// <summary>Code of a weight: round half to even, then clamp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Code(float w, float inverseScale, float zero) =>
        Math.Clamp(MathF.Round(w * inverseScale) + zero, 0, 15);
}
