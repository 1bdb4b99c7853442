using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// The rounding of <see cref="RangeFit"/>, <see cref="CompensatedRounding"/>, <see cref="GroupDescent"/> and
/// <see cref="NearestRounding"/> as operations on whole tensors, for devices whose memory no loop of the host reaches. The same
/// formulas in the same order, in float32; sums may differ in their last bits, and with them a choice between equals.
/// </summary>
internal static class TensorRounding
{
    private const int Block = 128;
    private const int Passes = 3;
    private const float SmallestScale = 5.9604645e-8f;

    // Elements of a linear that are fitted at once: the candidates' temporaries take a few times as much.
    private const long FittedAtOnce = 1L << 24;

    // A number given to an operation becomes an object of libtorch; in loops over columns these are made once.
    private static readonly Scalar Zero = 0, One = 1, Two = 2, Fifteen = 15, Half = 0.5f, LeastScale = SmallestScale, MostScale = 65504f;

    private static readonly double[] Nudges = [0.92f, 0.96f, 1f, 1.04f];

    /// <summary>The way of one linear from float to codes, as <see cref="LinearRounding.Round"/> goes it.</summary>
    /// <param name="weights">[out, in] float32 on the curvature's device; overwritten with the dequantised weights.</param>
    public static QuantizedLinear Round(Tensor weights, Curvature curvature, long tokens, AwqSettings settings, out double loss)
    {
        using var scope = NewDisposeScope();
        var compensated = settings.Rounding == RoundingMode.Compensated;
        var importance = settings.FitRanges ? compensated ? curvature.Device.Upload(tensor(curvature.Pivots)) : curvature.H.diagonal() : null;
        var linear = Fit(weights, importance, settings.GroupSize);
        if (compensated)
        {
            loss = Compensate(weights, curvature, linear, null);
            var affordable = Math.Max(1, settings.SweepBudget * tokens / weights.shape[1]);
            for (var sweep = 0; sweep < Math.Min(settings.Sweeps, affordable); sweep++)
            {
                var gain = Descend(weights, curvature, linear, settings.RefitScales);
                loss -= gain;
                if (gain < 1e-3 * loss)
                    break;
            }
        }
        else
        {
            linear.Nearest(weights);
            loss = Loss(linear.Dequantize().sub_(weights), curvature);
        }
        weights.copy_(linear.Dequantize());
        return linear.ToHost();
    }

    /// <summary>Ranges that span minimum and maximum, nearest codes.</summary>
    public static QuantizedLinear Plain(Tensor weights, int groupSize)
    {
        using var scope = NewDisposeScope();
        var linear = Fit(weights, null, groupSize);
        linear.Nearest(weights);
        weights.copy_(linear.Dequantize());
        return linear.ToHost();
    }

    /// <summary>The loss of a sample of rows under candidate scales, rounded as it will be.</summary>
    /// <param name="sample">[rows, in] on the curvature's device.</param>
    /// <param name="s">[in].</param>
    public static double Judge(Tensor sample, Curvature curvature, float[] s, AwqSettings settings)
    {
        using var scope = NewDisposeScope();
        var scales = curvature.Device.Upload(tensor(s));
        var importance = settings.FitRanges ? curvature.Device.Upload(tensor(curvature.Pivots)).div_(scales.mul(scales)) : null;
        var scaled = sample.mul(scales);
        var linear = Fit(scaled, importance, settings.GroupSize);
        if (settings.Rounding == RoundingMode.Compensated)
            return Compensate(sample, curvature, linear, scales);
        linear.Nearest(scaled);
        return Loss(linear.Dequantize().div_(scales).sub_(sample), curvature);
    }

    /// <summary>What W · s becomes when it is fitted and rounded to nearest, divided by s again.</summary>
    public static Tensor Nearest(Tensor weights, Tensor scales, Tensor? importance, int groupSize)
    {
        using var scope = NewDisposeScope();
        var scaled = weights.mul(scales);
        var linear = Fit(scaled, importance, groupSize);
        linear.Nearest(scaled);
        return linear.Dequantize().div_(scales).MoveToOuterDisposeScope();
    }

    /// <summary>Scales and zero points of all groups; see <see cref="RangeFit"/>.</summary>
    public static TensorLinear Fit(Tensor weights, Tensor? importance, int groupSize)
    {
        using var scope = NewDisposeScope();
        var (rows, n) = (weights.shape[0], weights.shape[1]);
        var groups = n / groupSize;
        var parts = new List<(Tensor Scale, Tensor Zero)>();
        var atOnce = Math.Max(1, FittedAtOnce / n);
        for (var from = 0L; from < rows; from += atOnce)
        {
            using var inner = NewDisposeScope();
            var part = weights.narrow(0, from, Math.Min(atOnce, rows - from)).reshape(-1, groups, groupSize);
            var (scale, zero) = FitGroups(part, importance?.view(1, groups, groupSize));
            parts.Add((scale.MoveToOuterDisposeScope(), zero.MoveToOuterDisposeScope()));
        }
        return new TensorLinear(groupSize, cat([.. parts.Select(p => p.Scale)], 0), cat([.. parts.Select(p => p.Zero)], 0), rows, n).MoveToOuterScope();
    }

    private static (Tensor Scale, Tensor Zero) FitGroups(Tensor w, Tensor? importance)
    {
        var (min, max) = (w.amin([2L]), w.amax([2L]));
        var (scale, zero) = Span(min, max);
        if (importance is null)
            return (scale, zero);
        var constant = min.eq(max);
        var least = RangeLoss(w, importance, scale, zero);
        for (var step = 1; step <= 9; step++)
        {
            var shrink = 1 - 0.04f * step;
            Try(Span(min.mul(shrink), max.mul(shrink)));
        }
        var (centre, around) = (scale, zero);
        foreach (var nudge in Nudges)
            for (var shift = -1; shift <= 1; shift++)
                if (nudge != 1 || shift != 0)
                    Try((Storable(centre.mul(nudge)), around.add(shift).clamp_(Zero, Fifteen)));
        return (scale, zero);

        void Try((Tensor Scale, Tensor Zero) range)
        {
            var loss = RangeLoss(w, importance, range.Scale, range.Zero);
            var better = loss.lt(least).logical_and_(constant.logical_not());
            scale = where(better, range.Scale, scale);
            zero = where(better, range.Zero, zero);
            least = where(better, loss, least);
        }
    }

    private static (Tensor Scale, Tensor Zero) Span(Tensor min, Tensor max)
    {
        var (low, high) = (min.clamp(max: Zero), max.clamp(min: Zero));
        var empty = high.eq(low);
        var scale = Storable(high.sub(low).div_(Fifteen));
        var zero = low.neg().div_(scale).round_().clamp_(Zero, Fifteen);
        return (where(empty, ones_like(scale), scale), where(empty, zeros_like(zero), zero));
    }

    private static Tensor RangeLoss(Tensor w, Tensor importance, Tensor scale, Tensor zero)
    {
        using var scope = NewDisposeScope();
        var (wide, low) = (scale.unsqueeze(2), zero.neg().unsqueeze(2));
        var q = w.mul(wide.reciprocal()).round_();
        q = maximum(q, low);
        q = minimum(q, low.add(Fifteen));
        var miss = w.sub(q.mul_(wide));
        return miss.mul_(miss).mul_(importance).sum([2L]).MoveToOuterDisposeScope();
    }

    private static Tensor Storable(Tensor scale) => scale.to(ScalarType.Float16).to(ScalarType.Float32).clamp_(LeastScale, MostScale);

    /// <summary>See <see cref="CompensatedRounding.Round"/>. Rows lie across here, so that a column is contiguous.</summary>
    /// <param name="s">[in], or null for ones.</param>
    public static double Compensate(Tensor weights, Curvature curvature, TensorLinear into, Tensor? s)
    {
        using var scope = NewDisposeScope();
        var n = curvature.Columns;
        var device = weights.device;
        var order = tensor(curvature.Order.Select(c => (long)c).ToArray(), device: device);
        var group = tensor(curvature.Order.Select(c => (long)(c / into.GroupSize)).ToArray(), device: device);
        var w = weights.index_select(1, order).t().contiguous();
        var codes = empty_like(w);
        var errors = empty_like(w);
        var pivots = curvature.Device.Upload(tensor(curvature.Order.Select(c => curvature.Pivots[c]).ToArray()));
        var factors = s?.index_select(0, order).unsqueeze(1);
        var loss = 0.0;
        for (long end = n; end > 0; end -= Block)
        {
            using var inner = NewDisposeScope();
            var start = Math.Max(0, end - Block);
            var width = end - start;
            var targets = w.narrow(0, start, width).clone();
            if (end < n)
                targets.addmm_(curvature.Factor.narrow(0, end, n - end).narrow(1, start, width).t(), errors.narrow(0, end, n - end), 1, 1);
            var groups = group.narrow(0, start, width);
            var scale = into.Scales.index_select(1, groups).t().contiguous();
            var zero = into.Zeros.index_select(1, groups).t().contiguous();
            // One multiplication to a code and one back from it, as the loops have it: s / scale would be rounded differently.
            var inverse = scale.reciprocal();
            var misses = empty_like(targets);
            for (var k = width - 1; k >= 0; k--)
                RoundColumn(k, start, targets, w, factors, inverse, scale, zero, curvature.Factor, codes, errors, misses);
            loss += misses.mul_(misses).mul_(pivots.narrow(0, start, width).unsqueeze(1)).sum(ScalarType.Float64).item<double>();
        }
        into.Codes.index_copy_(1, order, codes.t().contiguous());
        return loss;
    }

    private static void RoundColumn(long k, long start, Tensor targets, Tensor w, Tensor? factors, Tensor inverse, Tensor scale, Tensor zero,
        Tensor factor, Tensor codes, Tensor errors, Tensor misses)
    {
        using var scope = NewDisposeScope();
        var (target, code, zeroPoint) = (targets.select(0, k), codes.select(0, start + k), zero.select(0, k));
        var own = factors?.select(0, start + k);
        code.copy_(own is null ? target : target.mul(own)).mul_(inverse.select(0, k)).round_().add_(zeroPoint, One).clamp_(Zero, Fifteen);
        var value = code.sub(zeroPoint).mul_(scale.select(0, k));
        if (own is not null)
            value.div_(own);
        misses.select(0, k).copy_(target).sub_(value);
        var error = errors.select(0, start + k);
        error.copy_(w.select(0, start + k)).sub_(value);
        if (k > 0)
            targets.narrow(0, 0, k).addmm_(factor.select(0, start + k).narrow(0, start, k).unsqueeze(1), error.unsqueeze(0), 1, 1);
    }

    /// <summary>One sweep over all groups; see <see cref="GroupDescent"/>.</summary>
    /// <returns>By how much the loss fell.</returns>
    public static double Descend(Tensor weights, Curvature curvature, TensorLinear linear, bool refitScales)
    {
        using var scope = NewDisposeScope();
        long size = linear.GroupSize;
        var errors = linear.Dequantize().sub_(weights);
        var gain = zeros(1, ScalarType.Float64, weights.device);
        for (var g = 0L; g < linear.Groups; g++)
        {
            using var inner = NewDisposeScope();
            var columns = curvature.H.narrow(1, g * size, size);
            var gradient = errors.mm(columns);
            var own = columns.narrow(0, g * size, size).contiguous();
            var zero = linear.Zeros.narrow(1, g, 1);
            var centred = linear.Codes.narrow(1, g * size, size).sub(zero);
            var error = errors.narrow(1, g * size, size);
            var scale = linear.Scales.narrow(1, g, 1);
            if (refitScales)
                gain.add_(Refit(scale, centred, gradient, centred.mm(own), error), One);
            gain.add_(DescendGroup(centred, gradient, own, scale, zero, error), One);
            linear.Codes.narrow(1, g * size, size).copy_(centred.add_(zero, One));
        }
        return gain.item<double>();
    }

    /// <summary>d loss / d scale = 2 c·v, second derivative 2 cᵀHc.</summary>
    private static Tensor Refit(Tensor scale, Tensor centred, Tensor gradient, Tensor bent, Tensor error)
    {
        using var scope = NewDisposeScope();
        var slope = centred.mul(gradient).sum([1L], true);
        var bend = centred.mul(bent).sum([1L], true);
        var refitted = Storable(maximum(scale.sub(slope.div(bend)), scale.mul(Half)));
        var step = refitted.sub(scale);
        var change = step.mul(slope).mul_(Two).add_(step.mul(step).mul_(bend), One);
        // A group of nothing but zero points has no bend; what dividing by it gives is not chosen.
        var better = bend.gt(Zero).logical_and_(change.lt(Zero));
        step = where(better, step, zeros_like(step));
        gradient.add_(bent.mul(step), One);
        error.add_(centred.mul(step), One);
        scale.add_(step, One);
        return where(better, change, zeros_like(change)).sum(ScalarType.Float64).neg_().MoveToOuterDisposeScope();
    }

    private static Tensor DescendGroup(Tensor centred, Tensor gradient, Tensor own, Tensor scale, Tensor zero, Tensor error)
    {
        using var scope = NewDisposeScope();
        var size = centred.shape[1];
        var (low, high) = (zero.neg(), zero.neg().add_(Fifteen));
        var gains = zeros(centred.shape[0], ScalarType.Float64, centred.device);
        for (var pass = 0; pass < Passes; pass++)
        {
            var moved = zeros(1, ScalarType.Float32, centred.device);
            for (var i = 0L; i < size; i++)
            {
                using var inner = NewDisposeScope();
                var (code, slope) = (centred.narrow(1, i, 1), gradient.narrow(1, i, 1));
                var row = own.narrow(0, i, 1);
                var bend = row.narrow(1, i, 1);
                var wanted = code.sub(slope.div(scale.mul(bend))).round_();
                wanted = minimum(maximum(wanted, low), high);
                var step = wanted.sub(code).mul_(scale);
                var change = slope.mul(Two).add_(step.mul(bend), One).mul_(step);
                var better = change.lt(Zero);
                step = step.mul_(better);
                code.copy_(where(better, wanted, code));
                gains.sub_(change.clamp_(max: Zero).squeeze(1));
                error.narrow(1, i, 1).add_(step, One);
                gradient.addmm_(step, row, 1, 1);
                moved.add_(step.abs().sum(), One);
            }
            if (moved.item<float>() == 0)
                break;
        }
        return gains.sum(ScalarType.Float64).MoveToOuterDisposeScope();
    }

    private static double Loss(Tensor error, Curvature curvature) => error.mm(curvature.H).mul_(error).sum(ScalarType.Float64).item<double>();
}
