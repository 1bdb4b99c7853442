using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// The rounding of <see cref="RangeFit"/>, <see cref="CompensatedRounding"/>, <see cref="GroupDescent"/> and
/// <see cref="NearestRounding"/> as operations on whole tensors, for devices whose memory no loop of the host reaches. The same
/// formulas in the same order, in float32; sums may differ in their last bits, and with them a choice between equals.
/// </summary>
internal static unsafe class TensorRounding
{
    private const int Block = 128;
    private const int Passes = 3;
    private const int Stretch = 1024; // columns, a multiple of a block's and of any group's
    private const float SmallestScale = 5.9604645e-8f;

    // Elements of a linear that are fitted at once: the candidates' temporaries take a few times as much.
    private const long FittedAtOnce = 1L << 24;

    // A number given to an operation becomes an object of libtorch; in loops over columns these are made once.
    private static readonly Scalar Zero = 0, One = 1, Two = 2, Fifteen = 15, Half = 0.5f, LeastScale = SmallestScale, MostScale = 65504f;

    private static readonly double[] Nudges = [0.92f, 0.96f, 1f, 1.04f];

    /// <summary>The way of one linear from float to codes, as <see cref="LinearRounding.Round"/> goes it.</summary>
    /// <param name="weights">[out, in] float32 on the curvature's device; overwritten with the dequantised weights.</param>
    public static QuantizedLinear Round(Tensor weights, Curvature curvature, long tokens, AwqSettings settings, out double loss) =>
        Round(weights, curvature, tokens, settings, FusedRounding.Of(curvature.Device), out loss);

    /// <param name="kernels">For the element-wise core; null for torch's operations.</param>
    public static QuantizedLinear Round(Tensor weights, Curvature curvature, long tokens, AwqSettings settings, IRoundingKernels? kernels, out double loss)
    {
        using var scope = NewDisposeScope();
        var compensated = settings.Rounding == RoundingMode.Compensated;
        var importance = settings.FitRanges ? compensated ? curvature.Device.Upload(tensor(curvature.Pivots)) : curvature.H.diagonal() : null;
        var linear = Fit(weights, importance, settings.GroupSize, kernels);
        double? gain = null;
        if (compensated)
        {
            var nearest = SampledLoss(weights, curvature, linear, nearest: true);
            loss = Compensate(weights, curvature, linear, null, kernels)[0];
            var affordable = Math.Max(1, settings.SweepBudget * tokens / weights.shape[1]);
            for (var sweep = 0; sweep < Math.Min(settings.Sweeps, affordable); sweep++)
            {
                var fallen = Descend(weights, curvature, linear, settings.RefitScales, kernels);
                loss -= fallen;
                if (fallen < 1e-3 * loss)
                    break;
            }
            gain = nearest > 0 ? 1 - SampledLoss(weights, curvature, linear, nearest: false) / nearest : null;
        }
        else
        {
            linear.Nearest(weights);
            loss = Loss(linear.Dequantize().sub_(weights), curvature);
        }
        var result = linear.ToHost();
        result.RoundingGain = gain;
        if (settings.KeepResiduals)
            result.KeepResiduals(TensorMemory.Floats(ComputeDevice.Download(weights).contiguous()));
        weights.copy_(linear.Dequantize());
        return result;
    }

    /// <summary>Loss of evenly spread rows, as they are rounded or as rounding to nearest would leave them.</summary>
    private static double SampledLoss(Tensor weights, Curvature curvature, TensorLinear linear, bool nearest)
    {
        using var scope = NewDisposeScope();
        var (rows, count) = (weights.shape[0], Math.Min(LinearRounding.SampledRows, weights.shape[0]));
        var index = tensor(Enumerable.Range(0, (int)count).Select(i => (2L * i + 1) * rows / (2 * count)).ToArray(), device: weights.device);
        var own = weights.index_select(0, index);
        var sampled = linear.Select(index);
        if (nearest)
            sampled.Nearest(own);
        return Loss(sampled.Dequantize().sub_(own), curvature);
    }

    /// <summary>Ranges that span minimum and maximum, nearest codes.</summary>
    public static QuantizedLinear Plain(Tensor weights, int groupSize, ComputeDevice device)
    {
        using var scope = NewDisposeScope();
        var linear = Fit(weights, null, groupSize, FusedRounding.Of(device));
        linear.Nearest(weights);
        weights.copy_(linear.Dequantize());
        return linear.ToHost();
    }

    /// <summary>
    /// The loss of a sample of rows under each of some candidates' scales, rounded as it will be. The rows of all candidates are
    /// rounded side by side: those of one would leave most of a device idle.
    /// </summary>
    /// <param name="sample">[rows, in] on the curvature's device.</param>
    /// <param name="candidates">[in] each.</param>
    public static double[] Judge(Tensor sample, Curvature curvature, IReadOnlyList<float[]> candidates, AwqSettings settings)
    {
        using var scope = NewDisposeScope();
        var kernels = FusedRounding.Of(curvature.Device);
        var pivots = settings.FitRanges ? curvature.Device.Upload(tensor(curvature.Pivots)) : null;
        var scales = candidates.Select(s => curvature.Device.Upload(tensor(s))).ToList();
        if (settings.Rounding != RoundingMode.Compensated)
            return [.. scales.Select(s => Loss(Nearest(sample, s, pivots?.div(s.mul(s)), settings.GroupSize, curvature.Device).sub_(sample), curvature))];
        var (rows, n) = (sample.shape[0], sample.shape[1]);
        var ranges = scales.Select(s => Fit(sample.mul(s), pivots?.div(s.mul(s)), settings.GroupSize, kernels)).ToList();
        var linear = new TensorLinear(settings.GroupSize, cat([.. ranges.Select(r => r.Scales)], 0), cat([.. ranges.Select(r => r.Zeros)], 0), rows * candidates.Count, n);
        return Compensate(sample, curvature, linear, stack(scales, 1), kernels);
    }

    /// <summary>What W · s becomes when it is fitted and rounded to nearest, divided by s again.</summary>
    public static Tensor Nearest(Tensor weights, Tensor scales, Tensor? importance, int groupSize, ComputeDevice device)
    {
        using var scope = NewDisposeScope();
        var scaled = weights.mul(scales);
        var linear = Fit(scaled, importance, groupSize, FusedRounding.Of(device));
        linear.Nearest(scaled);
        return linear.Dequantize().div_(scales).MoveToOuterDisposeScope();
    }

    /// <summary>Scales and zero points of all groups; see <see cref="RangeFit"/>.</summary>
    private static TensorLinear Fit(Tensor weights, Tensor? importance, int groupSize, IRoundingKernels? kernels)
    {
        using var scope = NewDisposeScope();
        var (rows, n) = (weights.shape[0], weights.shape[1]);
        var groups = n / groupSize;
        if (kernels is not null)
        {
            var (scales, zeros) = (empty(rows, groups, device: weights.device), empty(rows, groups, device: weights.device));
            kernels.Fit(weights.contiguous(), importance?.contiguous(), groupSize, scales, zeros);
            return new TensorLinear(groupSize, scales, zeros, rows, n).MoveToOuterScope();
        }
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
    /// <param name="weights">[rows, in]; the rows of <paramref name="into"/> are these once for each set of scales.</param>
    /// <param name="s">[in, sets], or null for one set of ones.</param>
    /// <returns>The loss of each set.</returns>
    private static double[] Compensate(Tensor weights, Curvature curvature, TensorLinear into, Tensor? s, IRoundingKernels? kernels)
    {
        using var scope = NewDisposeScope();
        var n = curvature.Columns;
        var device = weights.device;
        var order = tensor(curvature.Order.Select(c => (long)c).ToArray(), device: device);
        var group = tensor(curvature.Order.Select(c => (long)(c / into.GroupSize)).ToArray(), device: device);
        var sets = s?.shape[1] ?? 1;
        var w = weights.index_select(1, order).t().repeat(1, sets);
        var codes = empty_like(w);
        var errors = empty_like(w);
        var pivots = curvature.Device.Upload(tensor(curvature.Order.Select(c => curvature.Pivots[c]).ToArray()));
        var factors = s?.index_select(0, order);
        var losses = zeros(sets, ScalarType.Float64, device);
        // What the errors behind a stretch of blocks ask for comes in one product: those of single blocks are too narrow to fill a device.
        for (long behind = n; behind > 0; behind -= Stretch)
        {
            using var outer = NewDisposeScope();
            var first = Math.Max(0, behind - Stretch);
            var count = behind - first;
            var targets = w.narrow(0, first, count).clone();
            if (behind < n)
                targets.addmm_(curvature.Factor.narrow(0, behind, n - behind).narrow(1, first, count).t(), errors.narrow(0, behind, n - behind), 1, 1);
            var groups = group.narrow(0, first, count);
            var scale = into.Scales.index_select(1, groups).t().contiguous();
            var zero = into.Zeros.index_select(1, groups).t().contiguous();
            var misses = empty_like(targets);
            for (var end = count; end > 0; end -= Block)
            {
                using var inner = NewDisposeScope();
                var start = Math.Max(0, end - Block);
                Tensor Own(Tensor columns) => columns.narrow(0, start, end - start);
                if (end < count)
                    Own(targets).addmm_(curvature.Factor.narrow(0, first + end, count - end).narrow(1, first + start, end - start).t(), errors.narrow(0, first + end, count - end), 1, 1);
                if (kernels is not null)
                    kernels.Compensate(Own(targets), w.narrow(0, first + start, end - start), factors?.narrow(0, first + start, end - start), Own(scale), Own(zero), curvature.Factor, first + start,
                        codes.narrow(0, first + start, end - start), errors.narrow(0, first + start, end - start), Own(misses));
                else
                    CompensateBlock(first + start, Own(targets), w, factors, Own(scale), Own(zero), curvature.Factor, codes, errors, Own(misses));
            }
            losses.add_(misses.mul_(misses).mul_(pivots.narrow(0, first, count).unsqueeze(1)).view(count, sets, -1).sum([0L, 2L], false, ScalarType.Float64), One);
        }
        into.Codes.index_copy_(1, order, codes.t().contiguous());
        return losses.cpu().data<double>().ToArray();
    }

    private static void CompensateBlock(long start, Tensor targets, Tensor w, Tensor? factors, Tensor scale, Tensor zero, Tensor factor, Tensor codes, Tensor errors, Tensor misses)
    {
        // One multiplication to a code and one back from it, as the loops have it: s / scale would be rounded differently.
        var inverse = scale.reciprocal();
        for (var k = targets.shape[0] - 1; k >= 0; k--)
            RoundColumn(k, start, targets, w, factors, inverse, scale, zero, factor, codes, errors, misses);
    }

    private static void RoundColumn(long k, long start, Tensor targets, Tensor w, Tensor? factors, Tensor inverse, Tensor scale, Tensor zero,
        Tensor factor, Tensor codes, Tensor errors, Tensor misses)
    {
        using var scope = NewDisposeScope();
        var (target, code, zeroPoint) = (targets.select(0, k), codes.select(0, start + k), zero.select(0, k));
        var own = factors?.select(0, start + k).unsqueeze(1).expand(-1, target.shape[0] / factors.shape[1]).reshape(-1);
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
    private static double Descend(Tensor weights, Curvature curvature, TensorLinear linear, bool refitScales, IRoundingKernels? kernels)
    {
        using var scope = NewDisposeScope();
        long size = linear.GroupSize;
        var errors = linear.Dequantize().sub_(weights);
        var gains = zeros(weights.shape[0], ScalarType.Float64, weights.device);
        var change = empty(weights.shape[0], size, device: weights.device);
        for (var from = 0L; from < errors.shape[1]; from += Stretch)
        {
            using var outer = NewDisposeScope();
            var columns = curvature.H.narrow(1, from, Math.Min(Stretch, errors.shape[1] - from));
            // Of all groups of a stretch in one product; what a group changes is then added to those after it.
            var gradients = errors.mm(columns);
            for (var at = 0L; at < columns.shape[1]; at += size)
            {
                using var inner = NewDisposeScope();
                if (kernels is not null)
                    kernels.Descend(linear.Codes, gradients, at, curvature.H, linear.Scales, linear.Zeros, (from + at) / size, errors, refitScales, change, gains);
                else
                    DescendGroup(linear, (from + at) / size, gradients.narrow(1, at, size).contiguous(), columns.narrow(0, from + at, size).narrow(1, at, size), errors, refitScales, change, gains);
                if (columns.shape[1] - at - size is > 0 and var left)
                    gradients.narrow(1, at + size, left).addmm_(change, columns.narrow(0, from + at, size).narrow(1, at + size, left), 1, 1);
            }
        }
        return gains.sum().item<double>();
    }

    /// <param name="gradient">[rows, size]; overwritten.</param>
    /// <param name="own">[size, size] of the curvature.</param>
    /// <param name="change">[rows, size]; overwritten with what the errors changed by.</param>
    /// <param name="gains">[rows]; what the loss fell by is added.</param>
    private static void DescendGroup(TensorLinear linear, long g, Tensor gradient, Tensor own, Tensor errors, bool refitScales, Tensor change, Tensor gains)
    {
        long size = linear.GroupSize;
        var (error, zero, scale) = (errors.narrow(1, g * size, size), linear.Zeros.narrow(1, g, 1), linear.Scales.narrow(1, g, 1));
        var centred = linear.Codes.narrow(1, g * size, size).sub(zero);
        change.copy_(error);
        if (refitScales)
            gains.add_(Refit(scale, centred, gradient, centred.mm(own), error), One);
        gains.add_(MoveCodes(centred, gradient, own, scale, zero, error), One);
        linear.Codes.narrow(1, g * size, size).copy_(centred.add_(zero, One));
        change.neg_().add_(error, One);
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
        return where(better, change, zeros_like(change)).squeeze(1).neg_().MoveToOuterDisposeScope();
    }

    private static Tensor MoveCodes(Tensor centred, Tensor gradient, Tensor own, Tensor scale, Tensor zero, Tensor error)
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
        return gains.MoveToOuterDisposeScope();
    }

    private static double Loss(Tensor error, Curvature curvature) => error.mm(curvature.H).mul_(error).sum(ScalarType.Float64).item<double>();
}
