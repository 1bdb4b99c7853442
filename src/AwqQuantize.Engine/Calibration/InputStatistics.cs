using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Calibration;

/// <summary>
/// What is remembered of the inputs x of some linears: the Gram matrix Σ x xᵀ (its tokens weighted, if that is wanted), Σ |x|, the largest |x| and the token count. The
/// activations themselves are never kept.
/// </summary>
public sealed unsafe class InputStatistics : IDisposable
{
    // Rows of a tile of the upper triangle: large enough for the matrix kernel's peak, small enough to skip most of the other half.
    private const int Tile = 512;

    private readonly ComputeDevice compute;
    private readonly ScalarType type;
    private readonly Tensor sum;
    private readonly Tensor absolute;
    private Tensor? gram;

    /// <param name="channels">Width of the inputs.</param>
    /// <param name="compute">Where they are summed up.</param>
    /// <param name="type">What the linears' products are made in there, and so what their inputs are for the Gram matrix.</param>
    public InputStatistics(int channels, ComputeDevice compute, ScalarType type = ScalarType.Float32)
    {
        (Channels, this.compute, this.type) = (channels, compute, type);
        var device = compute.Torch;
        gram = zeros(channels, channels, device: device).DetachFromDisposeScope();
        absolute = zeros(channels, device: device).DetachFromDisposeScope();
        sum = zeros(channels, device: device).DetachFromDisposeScope();
    }

    public int Channels { get; }

    /// <summary>Tokens seen.</summary>
    public long Tokens { get; private set; }

    /// <summary>Largest |x| seen; values past 65504 overflow float16 kernels.</summary>
    public float Largest { get; private set; }

    /// <summary>Adds tokens.</summary>
    /// <param name="x">[tokens, channels] float32, contiguous.</param>
    /// <param name="weights">[tokens]: roots of the tokens' weights in the Gram matrix; null for 1 each.</param>
    public void Add(Tensor x, Tensor? weights = null)
    {
        if (x.shape[0] == 0)
            return;
        using var scope = NewDisposeScope();
        var weighted = weights is null ? x : x.mul(weights.unsqueeze(1));
        var met = type == ScalarType.Float32 ? weighted : weighted.to(type);
        if (type == ScalarType.Float32 || !compute.AddGram(gram!, met))
            AddGram(met.to(ScalarType.Float32));
        var magnitude = x.abs();
        absolute.add_(magnitude.sum([0L]));
        Largest = Math.Max(Largest, magnitude.max().item<float>());
        sum.add_(x.sum([0L]));
        Tokens += x.shape[0];
    }

    private void AddGram(Tensor x)
    {
        for (long from = 0; from < Channels; from += Tile)
        {
            var width = Math.Min(Tile, Channels - from);
            using var tile = NewDisposeScope();
            gram!.narrow(0, from, width).narrow(1, from, Channels - from)
                .addmm_(x.narrow(1, from, width).t(), x.narrow(1, from, Channels - from), 1, 1);
        }
    }

    /// <summary>Adds what was gathered elsewhere, on another device perhaps.</summary>
    public void Add(InputStatistics other)
    {
        using var scope = NewDisposeScope();
        gram!.add_(other.gram!.to(gram.device));
        absolute.add_(other.absolute.to(absolute.device));
        sum.add_(other.sum.to(sum.device));
        Largest = Math.Max(Largest, other.Largest);
        Tokens += other.Tokens;
    }

    /// <summary>Mean |x| of each channel.</summary>
    public float[] MeanMagnitude() => PerToken(absolute);

    /// <summary>Mean of each channel.</summary>
    public float[] Mean() => PerToken(sum);

    /// <summary>Σ x xᵀ / tokens, [channels, channels] float32, handed over to the caller; can be taken once.</summary>
    /// <param name="device">Where they were summed up. The matrix stays there.</param>
    public Tensor TakeGram(ComputeDevice device)
    {
        if (device.IsHost)
            return TakeGram();
        var taken = Take();
        using var scope = NewDisposeScope();
        taken.triu_().div_(Math.Max(1, Tokens));
        taken.add_(taken.triu(1).t());
        return taken;
    }

    /// <summary>Σ x xᵀ / tokens, [channels, channels] float32 in host memory, handed over to the caller; can be taken once.</summary>
    public Tensor TakeGram()
    {
        var summed = Take();
        var taken = ComputeDevice.Download(summed);
        if (!ReferenceEquals(taken, summed))
            summed.Dispose();
        var h = TensorMemory.Floats(taken);
        var (n, factor) = ((long)Channels, 1f / Math.Max(1, Tokens));
        // Scales the upper triangle and mirrors it, tile by tile so that both sides stay in the cache.
        const int Side = 64;
        RowParallel.For((int)((n + Side - 1) / Side), Side * n, (from, to) =>
        {
            for (long bi = from; bi < to; bi++)
                for (var bj = bi; bj * Side < n; bj++)
                    for (var i = bi * Side; i < Math.Min(n, (bi + 1) * Side); i++)
                        for (var j = Math.Max(i, bj * Side); j < Math.Min(n, (bj + 1) * Side); j++)
                            h[j * n + i] = h[i * n + j] *= factor;
        });
        return taken;
    }

    private Tensor Take()
    {
        var taken = gram ?? throw new InvalidOperationException("The Gram matrix was taken before.");
        gram = null;
        return taken;
    }

    public void Dispose()
    {
        gram?.Dispose();
        absolute.Dispose();
        sum.Dispose();
    }

    private float[] PerToken(Tensor total)
    {
        using var scope = NewDisposeScope();
        var values = total.cpu();
        var result = new float[Channels];
        for (var i = 0; i < Channels; i++)
            result[i] = TensorMemory.Floats(values)[i] / Math.Max(1, Tokens);
        return result;
    }
}
