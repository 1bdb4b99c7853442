using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>The way of one linear from float to codes: fit the ranges, round, descend.</summary>
public static unsafe class LinearRounding
{
    internal const int SampledRows = 64;

    /// <summary>Quantises a linear on its curvature.</summary>
    /// <param name="weights">[out, in] float32 where the curvature is, already folded; overwritten with the dequantised weights.</param>
    /// <param name="curvature">Of its inputs.</param>
    /// <param name="tokens">How many tokens these were.</param>
    /// <param name="settings">Which steps are taken.</param>
    /// <param name="loss">Mean squared error of the output, summed over its channels.</param>
    public static QuantizedLinear Round(Tensor weights, Curvature curvature, long tokens, AwqSettings settings, out double loss)
    {
        if (!curvature.Device.IsHost)
            return TensorRounding.Round(weights, curvature, tokens, settings, out loss);
        var linear = new QuantizedLinear((int)weights.shape[0], (int)weights.shape[1], settings.GroupSize);
        var w = TensorMemory.Floats(weights);
        var compensated = settings.Rounding == RoundingMode.Compensated;
        var importance = compensated ? curvature.Pivots : Diagonal(curvature.H);
        fixed (float* weight = settings.FitRanges ? importance : null)
            RangeFit.Fit(w, weight, linear);
        if (compensated)
        {
            var nearest = SampledLoss(weights, linear, curvature, nearest: true);
            loss = CompensatedRounding.Round(weights, curvature, linear);
            var affordable = Math.Max(1, settings.SweepBudget * tokens / linear.Columns);
            for (var sweep = 0; sweep < Math.Min(settings.Sweeps, affordable); sweep++)
            {
                var gain = GroupDescent.Improve(weights, curvature, linear, 1, settings.RefitScales);
                loss -= gain;
                if (gain < 1e-3 * loss)
                    break;
            }
            linear.RoundingGain = nearest > 0 ? 1 - SampledLoss(weights, linear, curvature, nearest: false) / nearest : null;
        }
        else
        {
            NearestRounding.Round(w, linear);
            loss = Loss(weights, linear, curvature);
        }
        if (settings.KeepResiduals)
            linear.KeepResiduals(w);
        linear.Dequantize(w);
        return linear;
    }

    /// <summary>Rounds without any statistics: ranges span minimum and maximum, every weight takes its nearest code.</summary>
    /// <param name="weights">[out, in] float32; overwritten with the dequantised weights.</param>
    /// <param name="groupSize">Columns per group.</param>
    /// <param name="device">Where the weights are.</param>
    public static QuantizedLinear Plain(Tensor weights, int groupSize, ComputeDevice device)
    {
        if (!device.IsHost)
            return TensorRounding.Plain(weights, groupSize, device);
        var linear = new QuantizedLinear((int)weights.shape[0], (int)weights.shape[1], groupSize);
        var w = TensorMemory.Floats(weights);
        RangeFit.Fit(w, null, linear);
        NearestRounding.Round(w, linear);
        linear.Dequantize(w);
        return linear;
    }

    private static double Loss(Tensor weights, QuantizedLinear linear, Curvature curvature)
    {
        using var scope = NewDisposeScope();
        var error = empty_like(weights);
        linear.Dequantize(TensorMemory.Floats(error));
        error.sub_(weights);
        return error.mm(curvature.H).mul_(error).sum(ScalarType.Float64).item<double>();
    }

    /// <summary>Loss of evenly spread rows, as they are rounded or as rounding to nearest would leave them.</summary>
    internal static double SampledLoss(Tensor weights, QuantizedLinear linear, Curvature curvature, bool nearest)
    {
        using var scope = NewDisposeScope();
        var (n, count) = (linear.Columns, Math.Min(SampledRows, linear.Rows));
        var errors = empty(count, n);
        float* w = TensorMemory.Floats(weights), e = TensorMemory.Floats(errors);
        for (var i = 0; i < count; i++)
        {
            var row = (2L * i + 1) * linear.Rows / (2 * count);
            for (var column = 0; column < n; column++)
            {
                var at = row * linear.Groups + column / linear.GroupSize;
                float scale = linear.Scales[at], zero = linear.Zeros[at], value = w[row * n + column];
                var code = nearest ? GroupRange.Code(value, 1 / scale, zero) : linear.Codes[row * n + column];
                e[(long)i * n + column] = (code - zero) * scale - value;
            }
        }
        return errors.mm(curvature.H).mul_(errors).sum(ScalarType.Float64).item<double>();
    }

    private static float[] Diagonal(Tensor h)
    {
        var n = (int)h.shape[0];
        var values = new float[n];
        for (var i = 0; i < n; i++)
            values[i] = TensorMemory.Floats(h)[(long)i * n + i];
        return values;
    }
}
