using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Chooses scale and zero point of every group so that the weighted squared error of rounding to nearest is least: both ends are
/// pulled in together, then the zero point and the scale are varied around the best. Replaces the symmetric clipping of AWQ
/// (arXiv 2306.00978, section 3.2) by an asymmetric one that sees the importance of each input channel.
/// </summary>
public static unsafe class RangeFit
{
    private static readonly float[] Nudges = [0.92f, 0.96f, 1f, 1.04f];

    /// <summary>Scale and zero point of one group.</summary>
    /// <param name="w">The group's weights.</param>
    /// <param name="importance">Weight of each squared error; null where plain minimum and maximum are wanted.</param>
    /// <param name="n">Group size.</param>
    public static (float Scale, float Zero) Group(float* w, float* importance, int n)
    {
        var (min, max) = GroupRange.Extremes(w, n);
        var best = GroupRange.Span(min, max);
        if (importance == null || max == min)
            return best;
        var least = GroupRange.Loss(w, importance, n, best.Scale, best.Zero);
        for (var step = 1; step <= 9; step++)
        {
            var shrink = 1 - 0.04f * step;
            Try(GroupRange.Span(min * shrink, max * shrink));
        }
        var centre = best;
        foreach (var nudge in Nudges)
            for (var shift = -1; shift <= 1; shift++)
                if (nudge != 1 || shift != 0)
                    Try((GroupRange.Storable(centre.Scale * nudge), Math.Clamp(centre.Zero + shift, 0, 15)));
        return best;

        void Try((float Scale, float Zero) range)
        {
            var loss = GroupRange.Loss(w, importance, n, range.Scale, range.Zero);
            if (loss < least)
                (least, best) = (loss, range);
        }
    }

    /// <summary>Fits every group of a linear.</summary>
    /// <param name="weights">[rows, columns].</param>
    /// <param name="importance">[columns], or null for plain minimum and maximum.</param>
    /// <param name="into">Receives scales and zero points.</param>
    public static void Fit(float* weights, float* importance, QuantizedLinear into)
    {
        var (columns, n, groups) = (into.Columns, into.GroupSize, into.Groups);
        RowParallel.For(into.Rows, columns * (importance == null ? 2L : 22L), (from, to) =>
        {
            for (var row = from; row < to; row++)
                for (var g = 0; g < groups; g++)
                {
                    var (scale, zero) = Group(weights + (long)row * columns + (long)g * n, importance == null ? null : importance + (long)g * n, n);
                    into.Scales[(long)row * groups + g] = scale;
                    into.Zeros[(long)row * groups + g] = (byte)zero;
                }
        });
    }

    /// <summary>Replaces every weight by its nearest value under a fitted range, in place: what a linear would be without its codes.</summary>
    /// <param name="weights">[rows, columns].</param>
    /// <param name="importance">[columns], or null for plain minimum and maximum.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">A multiple of the group size.</param>
    /// <param name="size">Columns per group.</param>
    public static void RoundInPlace(float* weights, float* importance, int rows, int columns, int size) =>
        RowParallel.For(rows, columns * (importance == null ? 4L : 24L), (from, to) =>
        {
            for (long row = from; row < to; row++)
                for (var start = 0; start < columns; start += size)
                {
                    var w = weights + row * columns + start;
                    var (scale, zero) = Group(w, importance == null ? null : importance + start, size);
                    var inverse = 1 / scale;
                    for (var i = 0; i < size; i++)
                        w[i] = (GroupRange.Code(w[i], inverse, zero) - zero) * scale;
                }
        });
}
