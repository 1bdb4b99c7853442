using System.Numerics;
using System.Runtime.CompilerServices;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Improves a rounded linear group by group, all else fixed: first the group's scale by least squares for its codes, then every
/// code by coordinate descent, both on the full quadratic form. The loss never grows.
/// </summary>
public static unsafe class GroupDescent
{
    /// <summary>Runs sweeps over all groups.</summary>
    /// <param name="weights">[rows, in] float32, what is to be approximated.</param>
    /// <param name="curvature">Of the inputs.</param>
    /// <param name="linear">Improved in place.</param>
    /// <param name="sweeps">How many times all groups are visited.</param>
    /// <param name="refitScales">Whether the group scales may change.</param>
    /// <returns>By how much the loss fell.</returns>
    public static double Improve(Tensor weights, Curvature curvature, QuantizedLinear linear, int sweeps, bool refitScales = true)
    {
        var gains = new double[linear.Rows];
        var band = RowBands.Height(linear.Columns);
        for (var first = 0; first < linear.Rows; first += band)
        {
            using var scope = NewDisposeScope();
            ImproveBand(weights.narrow(0, first, Math.Min(band, linear.Rows - first)), first, curvature, linear, sweeps, refitScales, gains);
        }
        return gains.Sum();
    }

    private static void ImproveBand(Tensor weights, int first, Curvature curvature, QuantizedLinear linear, int sweeps, bool refitScales, double[] gains)
    {
        var (rows, size) = ((int)weights.shape[0], linear.GroupSize);
        var errors = empty_like(weights);
        linear.Dequantize(first, rows, TensorMemory.Floats(errors));
        errors.sub_(weights);
        var values = empty(rows, size);
        for (var sweep = 0; sweep < sweeps; sweep++)
            for (var g = 0; g < linear.Groups; g++)
            {
                using var inner = NewDisposeScope();
                var columns = curvature.H.narrow(1, g * (long)size, size);
                var gradient = errors.mm(columns);
                var own = columns.narrow(0, g * (long)size, size).contiguous();
                Centred(linear, first, rows, g, TensorMemory.Floats(values));
                var bent = values.mm(own);
                Group(linear, first, g, gradient, bent, values, own, errors, refitScales, gains);
            }
    }

    /// <summary>Codes minus zero points of one group, [rows, group size].</summary>
    internal static void Centred(QuantizedLinear linear, int first, int rows, int g, float* values)
    {
        var (n, size) = (linear.Columns, linear.GroupSize);
        RowParallel.For(rows, size, (from, to) =>
        {
            for (long row = from; row < to; row++)
            {
                float zero = linear.Zeros[(first + row) * linear.Groups + g];
                var start = (first + row) * n + (long)g * size;
                for (var i = 0; i < size; i++)
                    values[row * size + i] = linear.Codes[start + i] - zero;
            }
        });
    }

    private static void Group(
        QuantizedLinear linear, int first, int g, Tensor gradient, Tensor bent, Tensor values, Tensor own, Tensor errors, bool refitScales, double[] gains)
    {
        var (n, size) = (linear.Columns, linear.GroupSize);
        float* grad = TensorMemory.Floats(gradient), hc = TensorMemory.Floats(bent), c = TensorMemory.Floats(values),
            h = TensorMemory.Floats(own), e = TensorMemory.Floats(errors);
        RowParallel.For((int)errors.shape[0], size * 24L, (from, to) =>
        {
            for (long row = from; row < to; row++)
                gains[first + row] += Row(linear, first + row, g, grad + row * size, hc + row * size, c + row * size, h, e + row * n + (long)g * size, refitScales);
        });
    }

    /// <summary>One group of one row.</summary>
    /// <param name="v">Half the loss's gradient by the group's weights, [group size]; follows what changes.</param>
    /// <param name="hv">H · c, likewise of the group alone; not changed.</param>
    /// <param name="c">Codes minus zero point; changed.</param>
    /// <param name="h">The group's part of H.</param>
    /// <param name="error">Of the group's weights; changed.</param>
    /// <returns>By how much the loss fell.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static double Row(QuantizedLinear linear, long row, int g, float* v, float* hv, float* c, float* h, float* error, bool refitScales)
    {
        var size = linear.GroupSize;
        var at = row * linear.Groups + g;
        var scale = linear.Scales[at];
        var gain = 0.0;
        if (refitScales)
        {
            // d loss / d scale = 2 c·v, second derivative 2 cᵀHc.
            var (slope, bend) = (Dot(c, v, size), Dot(c, hv, size));
            if (bend > 0)
            {
                var refitted = GroupRange.Storable(MathF.Max(scale - slope / bend, scale * 0.5f));
                var step = refitted - scale;
                if (step != 0 && 2 * step * slope + step * step * bend is var change and < 0)
                {
                    gain -= change;
                    AddScaled(v, hv, step, size);
                    AddScaled(error, c, step, size);
                    linear.Scales[at] = scale = refitted;
                }
            }
        }
        float low = -linear.Zeros[at], high = 15 - linear.Zeros[at];
        for (var pass = 0; pass < 3; pass++)
        {
            var changed = false;
            for (var i = 0; i < size; i++)
            {
                var bend = h[(long)i * size + i];
                var wanted = Math.Clamp(MathF.Round(c[i] - v[i] / (bend * scale)), low, high);
                if (wanted == c[i])
                    continue;
                var step = (wanted - c[i]) * scale;
                var change = step * (2 * v[i] + step * bend);
                if (change >= 0)
                    continue;
                gain -= change;
                c[i] = wanted;
                error[i] += step;
                AddScaled(v, h + (long)i * size, step, size);
                changed = true;
            }
            if (!changed)
                break;
        }
        var start = row * linear.Columns + (long)g * size;
        for (var i = 0; i < size; i++)
            linear.Codes[start + i] = (byte)(c[i] - low);
        return gain;
    }

    internal static float Dot(float* a, float* b, int n)
    {
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
            sum += Vector.Load(a + i) * Vector.Load(b + i);
        var total = Vector.Sum(sum);
        for (; i < n; i++)
            total += a[i] * b[i];
        return total;
    }

    internal static void AddScaled(float* a, float* b, float factor, int n)
    {
        var f = new Vector<float>(factor);
        var i = 0;
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
            Vector.Store(Vector.Load(a + i) + f * Vector.Load(b + i), a + i);
        for (; i < n; i++)
            a[i] += factor * b[i];
    }
}
