using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>How the scales of a group were formed from its statistics.</summary>
public enum ScaleKind
{
    /// <summary>All ones: plain rounding.</summary>
    Identity,

    /// <summary>Mean input magnitude to a power (arXiv 2306.00978, equation 5).</summary>
    Inputs,

    /// <summary>Inputs over weights, as later versions of AWQ have it.</summary>
    Duo,
}

/// <summary>One candidate: its scales, and what it costs.</summary>
public sealed record ScaleCandidate(ScaleKind Kind, double Ratio, float[] Scales, double Loss)
{
    /// <summary>Largest over smallest scale.</summary>
    public double Spread => Scales.Length == 0 ? 1 : Scales.Max() / Scales.Min();
}

/// <summary>
/// Searches the per-channel scales of the linears that share an input (arXiv 2306.00978, section 3.2). A candidate is judged by
/// what it will be used with: the rounding that follows, on a stratified sample of output rows, measured by the Gram matrix of the
/// inputs, so that no forward is needed. The identity is among the candidates, so the winner is never worse than it on this measure.
/// </summary>
public sealed unsafe class ScaleSearch
{
    private static readonly double[] Coarse = [0.2, 0.4, 0.6, 0.8, 1.0];

    // Elements that a device works on together, counted once for each candidate.
    private const long JudgedAtOnce = 1L << 26;

    private readonly Curvature curvature;
    private readonly Tensor sample;
    private readonly AwqSettings settings;
    private readonly int[]? channelOf;
    private readonly float[] inputs;
    private readonly float[] weights;
    private readonly QuantizedLinear linear; // of the sampled rows; every candidate overwrites it, and what is below
    private readonly float[] importance;
    private Tensor? scaled;
    private RoundingBuffers? buffers;
    private (Tensor Error, Tensor Product)? nearest;
    private readonly CurvatureCopies? copies;
    private readonly Dictionary<int, Tensor> samples = []; // on the devices beside the first

    /// <param name="linears">Weights [out, in] of the linears of the group that will be quantised, where the curvature is.</param>
    /// <param name="curvature">Of their common input.</param>
    /// <param name="magnitude">Mean |x| of each input column.</param>
    /// <param name="group">Which columns share a scale.</param>
    /// <param name="settings">Group size, sampled rows, and how the rounding that follows works.</param>
    /// <param name="copies">Of the curvature, on devices that share the candidates; null for its own alone.</param>
    internal ScaleSearch(IReadOnlyList<Tensor> linears, Curvature curvature, float[] magnitude, ScaleGroup group, AwqSettings settings, CurvatureCopies? copies)
        : this(linears, curvature, magnitude, group, settings) => this.copies = copies is { Count: > 1 } ? copies : null;

    /// <inheritdoc cref="ScaleSearch(IReadOnlyList{Tensor}, Curvature, float[], ScaleGroup, AwqSettings, CurvatureCopies)"/>
    public ScaleSearch(IReadOnlyList<Tensor> linears, Curvature curvature, float[] magnitude, ScaleGroup group, AwqSettings settings)
    {
        (this.curvature, this.settings) = (curvature, settings);
        channelOf = group.Consumers[0].Channel;
        sample = Sample(linears, settings.SearchRows);
        linear = new QuantizedLinear((int)sample.shape[0], curvature.Columns, settings.GroupSize);
        importance = new float[curvature.Columns];
        inputs = PerChannel(magnitude, group.Channels);
        weights = PerChannel(WeightMagnitudes(linears, settings.GroupSize), group.Channels);
    }

    /// <summary>All candidates that were tried, best first; the first may be the identity.</summary>
    public IReadOnlyList<ScaleCandidate> Run(CancellationToken cancel)
    {
        if (!curvature.Device.IsHost)
            return Together(cancel);
        var tried = new List<ScaleCandidate> { Judge(ScaleKind.Identity, 0, [.. inputs.Select(_ => 1f)]) };
        foreach (var kind in new[] { ScaleKind.Inputs, ScaleKind.Duo })
        {
            var best = Coarse.Select(ratio => TryRatio(kind, ratio)).MinBy(c => c.Loss)!;
            foreach (var step in new[] { 0.1, 0.05 })
            {
                var centre = best.Ratio;
                foreach (var ratio in new[] { centre - step, centre + step })
                    if (ratio is > 0 and <= 1 && TryRatio(kind, ratio) is var refined && refined.Loss < best.Loss)
                        best = refined;
            }
        }
        sample.Dispose();
        scaled?.Dispose();
        buffers?.Dispose();
        nearest?.Error.Dispose();
        nearest?.Product.Dispose();
        return [.. tried.OrderBy(c => c.Loss).ThenBy(c => c.Kind)];

        ScaleCandidate TryRatio(ScaleKind kind, double ratio)
        {
            cancel.ThrowIfCancellationRequested();
            var candidate = Judge(kind, ratio, Scales(kind, ratio));
            tried.Add(candidate);
            return candidate;
        }
    }

    /// <summary>
    /// The same candidates, judged many at once, and by several devices: both kinds go the same steps side by side. Which are judged
    /// together does not depend on how many devices there are, so neither does what they lose, nor the choice.
    /// </summary>
    private IReadOnlyList<ScaleCandidate> Together(CancellationToken cancel)
    {
        ScaleKind[] kinds = [ScaleKind.Inputs, ScaleKind.Duo];
        try
        {
            copies?.Prepare(copies.Count);
            for (var member = 1; member < (copies?.Count ?? 1); member++)
                samples[member] = copies!.Device(member).Upload(sample).DetachFromDisposeScope();
            var tried = new List<ScaleCandidate>();
            var coarse = kinds.SelectMany(kind => Coarse.Select(ratio => (kind, ratio)));
            tried.AddRange(JudgeAll([(ScaleKind.Identity, 0), .. coarse], cancel));
            var best = kinds.ToDictionary(kind => kind, kind => tried.Where(c => c.Kind == kind).MinBy(c => c.Loss)!);
            foreach (var step in new[] { 0.1, 0.05 })
            {
                var finer = kinds.SelectMany(kind => new[] { best[kind].Ratio - step, best[kind].Ratio + step }.Where(r => r is > 0 and <= 1).Select(ratio => (kind, ratio)));
                foreach (var candidate in JudgeAll([.. finer], cancel))
                {
                    tried.Add(candidate);
                    if (candidate.Loss < best[candidate.Kind].Loss)
                        best[candidate.Kind] = candidate;
                }
            }
            return [.. tried.OrderBy(c => c.Loss).ThenBy(c => c.Kind)];
        }
        finally
        {
            sample.Dispose();
            foreach (var copy in samples.Values)
                copy.Dispose();
            samples.Clear();
        }
    }

    private ScaleCandidate[] JudgeAll(IReadOnlyList<(ScaleKind Kind, double Ratio)> wanted, CancellationToken cancel)
    {
        var judged = new ScaleCandidate[wanted.Count];
        var parts = Enumerable.Range(0, wanted.Count).Chunk(Math.Clamp((wanted.Count + 1) / 2, 1, AtOnce(sample.shape[0], curvature.Columns))).ToList();
        var members = Math.Min(copies?.Count ?? 1, parts.Count);
        DeviceTeam.Share(members, member =>
        {
            for (var part = member; part < parts.Count; part += members)
            {
                cancel.ThrowIfCancellationRequested();
                var scales = parts[part].Select(i => wanted[i].Kind == ScaleKind.Identity ? [.. inputs.Select(_ => 1f)] : Scales(wanted[i].Kind, wanted[i].Ratio)).ToList();
                var losses = TensorRounding.Judge(member == 0 ? sample : samples[member], member == 0 ? curvature : copies!.On(member), [.. scales.Select(PerColumn)], settings);
                foreach (var (i, at) in parts[part].Select((i, at) => (i, at)))
                    judged[i] = new ScaleCandidate(wanted[i].Kind, wanted[i].Ratio, scales[at], losses[at]);
            }
            return member;
        });
        return judged;
    }

    /// <summary>Most candidates that a device judges together.</summary>
    internal static int AtOnce(long rows, long columns) => (int)Math.Clamp(JudgedAtOnce / (rows * columns), 1, (1 + 2 * Coarse.Length + 1) / 2);

    private float[] PerColumn(float[] scales) => channelOf is null ? scales : [.. channelOf.Select(c => scales[c])];

    /// <summary>The loss of any scales on the sampled rows.</summary>
    /// <param name="kind">Reported with the candidate.</param>
    /// <param name="ratio">Reported with the candidate.</param>
    /// <param name="scales">One per channel.</param>
    public ScaleCandidate Judge(ScaleKind kind, double ratio, float[] scales)
    {
        using var scope = NewDisposeScope();
        var n = curvature.Columns;
        if (!curvature.Device.IsHost)
            return new ScaleCandidate(kind, ratio, scales, TensorRounding.Judge(sample, curvature, [PerColumn(scales)], settings)[0]);
        var s = PerColumn(scales);
        scaled ??= empty_like(sample).DetachFromDisposeScope();
        float* w = TensorMemory.Floats(scaled), original = TensorMemory.Floats(sample);
        for (var i = 0; i < n; i++)
            importance[i] = curvature.Pivots[i] / (s[i] * s[i]);
        RowParallel.For(linear.Rows, n, (from, to) =>
        {
            for (long row = from; row < to; row++)
                for (var i = 0; i < n; i++)
                    w[row * n + i] = original[row * n + i] * s[i];
        });
        fixed (float* weight = settings.FitRanges ? importance : null)
            RangeFit.Fit(w, weight, linear);
        return new ScaleCandidate(kind, ratio, scales, settings.Rounding == RoundingMode.Compensated
            ? CompensatedRounding.RoundAgain(buffers ??= new RoundingBuffers(sample, curvature), curvature, linear, s)
            : NearestLoss(w, s));
    }

    private double NearestLoss(float* scaled, float[] s)
    {
        NearestRounding.Round(scaled, linear);
        var (error, product) = nearest ??= (empty_like(sample).DetachFromDisposeScope(), empty_like(sample).DetachFromDisposeScope());
        var (e, n) = ((nint)TensorMemory.Floats(error), linear.Columns);
        linear.Dequantize((float*)e);
        RowParallel.For(linear.Rows, n, (from, to) =>
        {
            for (long row = from; row < to; row++)
                for (var i = 0; i < n; i++)
                    ((float*)e)[row * n + i] /= s[i];
        });
        error.sub_(sample);
        return product.addmm_(error, curvature.H, 0, 1).mul_(error).sum(ScalarType.Float64).item<double>();
    }

    /// <summary>s of one kind and ratio, normalised to sqrt(max · min) = 1.</summary>
    private float[] Scales(ScaleKind kind, double ratio)
    {
        var s = new float[inputs.Length];
        for (var i = 0; i < s.Length; i++)
        {
            var value = Math.Pow(inputs[i], ratio);
            if (kind == ScaleKind.Duo)
                value /= Math.Pow(weights[i], 1 - ratio) + 1e-4;
            s[i] = (float)Math.Max(value, 1e-4);
        }
        var norm = MathF.Sqrt(s.Max() * s.Min());
        for (var i = 0; i < s.Length; i++)
            s[i] = float.IsFinite(s[i] / norm) ? s[i] / norm : 1;
        return s;
    }

    /// <summary>Means over the columns that share a scale.</summary>
    private float[] PerChannel(float[] columns, int channels)
    {
        if (channelOf is null)
            return columns;
        var sums = new float[channels];
        var counts = new int[channels];
        for (var i = 0; i < columns.Length; i++)
        {
            sums[channelOf[i]] += columns[i];
            counts[channelOf[i]]++;
        }
        return [.. sums.Zip(counts, (sum, count) => sum / Math.Max(1, count))];
    }

    /// <summary>Evenly spread rows of all linears, [rows, in].</summary>
    private static Tensor Sample(IReadOnlyList<Tensor> linears, int rows)
    {
        using var scope = NewDisposeScope();
        var total = linears.Sum(l => l.shape[0]);
        var parts = linears.Select(linear =>
        {
            var all = linear.shape[0];
            var count = Math.Min(all, Math.Max(1, (long)Math.Round((double)rows * all / total)));
            var index = Enumerable.Range(0, (int)count).Select(i => (2L * i + 1) * all / (2 * count)).ToArray();
            return linear.index_select(0, tensor(index, device: linear.device));
        }).ToArray();
        return cat(parts, 0).MoveToOuterDisposeScope().DetachFromDisposeScope();
    }

    /// <summary>Mean over all rows of |w| relative to the largest of its group.</summary>
    private static float[] WeightMagnitudes(IReadOnlyList<Tensor> linears, int groupSize)
    {
        using var scope = NewDisposeScope();
        var n = linears[0].shape[1];
        var total = zeros(n, device: linears[0].device);
        foreach (var linear in linears)
        {
            using var inner = NewDisposeScope();
            var grouped = linear.abs().view(-1, n / groupSize, groupSize);
            total.add_(grouped.div_(grouped.amax([2L], true).add_(1e-6)).view(-1, n).sum([0L]));
        }
        total.div_(linears.Sum(l => l.shape[0]));
        var host = ComputeDevice.Download(total);
        var result = new float[n];
        for (var i = 0; i < n; i++)
            result[i] = TensorMemory.Floats(host)[i];
        return result;
    }
}
