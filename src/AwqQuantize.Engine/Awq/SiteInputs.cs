using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>What was gathered at one site: the statistics and, where experts read it, the inputs themselves and who got them.</summary>
internal sealed unsafe class SiteInputs(InputStatistics statistics, IReadOnlyList<Tensor> inputs, IReadOnlyList<Tensor> routing, int length, IDisposable? claim = null) : IDisposable
{
    private readonly IReadOnlyList<Tensor> inputs = inputs;
    private readonly IReadOnlyList<Tensor> routing = routing;
    private readonly IDisposable?[] claims = [claim];

    /// <summary>What several devices have gathered from micro-batches that they took in turns, as one; the parts are taken over.</summary>
    public static SiteInputs Merge(IReadOnlyList<SiteInputs> gathered)
    {
        foreach (var other in gathered.Skip(1))
        {
            gathered[0].Statistics.Add(other.Statistics);
            other.Statistics.Dispose();
        }
        return gathered.Count == 1 ? gathered[0] : new SiteInputs(gathered, length: gathered[0].Length);
    }

    /// <summary>An expert with fewer tokens than this tells nothing of its inputs.</summary>
    public const int FewestTokens = 16;

    public InputStatistics Statistics { get; } = statistics;

    /// <summary>The inputs that were kept (of all tokens, where experts read them), in parts of [tokens, channels]; they belong to this object.</summary>
    public IReadOnlyList<Tensor> All => inputs;

    private SiteInputs(IReadOnlyList<SiteInputs> gathered, int length)
        : this(gathered[0].Statistics, InTurns(gathered, g => g.inputs), InTurns(gathered, g => g.routing), length) => claims = [.. gathered.SelectMany(g => g.claims)];

    private int Length => length;

    private static List<Tensor> InTurns(IReadOnlyList<SiteInputs> gathered, Func<SiteInputs, IReadOnlyList<Tensor>> parts) =>
        [.. Enumerable.Range(0, parts(gathered[0]).Count).SelectMany(turn => gathered.Select(parts).Where(p => turn < p.Count).Select(p => p[turn]))];

    /// <summary>The inputs of one expert, [its tokens, channels].</summary>
    public Tensor Of(int expert)
    {
        using var scope = NewDisposeScope();
        var parts = new List<Tensor>();
        for (var batch = 0; batch < inputs.Count; batch++)
        {
            var chosen = new List<long>();
            var (tokens, k) = (routing[batch].shape[0], routing[batch].shape[1]);
            var ids = TensorMemory.Longs(routing[batch]);
            for (var t = 0L; t < tokens; t++)
                for (var j = 0L; j < k; j++)
                    if (ids[t * k + j] == expert)
                        chosen.Add(t);
            parts.Add(inputs[batch].index_select(0, tensor(chosen.ToArray(), ScalarType.Int64, inputs[batch].device)).to(inputs[0].device));
        }
        return cat(parts, 0).MoveToOuterDisposeScope();
    }

    /// <summary>The kept inputs of some rows, [count · length, channels]; null where not all were kept, or memory has run out in between and rows are shorter now.</summary>
    public Tensor? Rows(int from, int count, int rowLength)
    {
        if (rowLength != length)
            return null;
        var parts = new List<Tensor>();
        var start = 0;
        foreach (var part in inputs)
        {
            var rows = (int)(part.shape[0] / length);
            var (first, last) = (Math.Max(from, start), Math.Min(from + count, start + rows));
            if (first < last)
                parts.Add(part.narrow(0, (long)(first - start) * length, (long)(last - first) * length));
            start += rows;
        }
        if (start < from + count)
            return null;
        return parts.Count == 1 ? parts[0] : cat([.. parts.Select(p => p.to(parts[0].device))], 0); // each device keeps its own
    }

    /// <summary>Follows a fold: the inputs are divided by the scales of their columns.</summary>
    public void Divide(float[] columns)
    {
        foreach (var part in inputs)
        {
            using var s = tensor(columns, device: part.device);
            part.div_(s);
        }
    }

    public void Dispose()
    {
        Statistics.Dispose();
        foreach (var part in inputs.Concat(routing))
            part.Dispose();
        foreach (var taken in claims)
            taken?.Dispose();
    }
}
