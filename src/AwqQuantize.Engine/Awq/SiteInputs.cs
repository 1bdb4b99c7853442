using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>What was gathered at one site: the statistics and, where experts read it, who got which token; the inputs themselves where they are kept.</summary>
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
        return gathered.Count == 1 ? gathered[0] : new SiteInputs(gathered, length: gathered[0].RowLength);
    }

    /// <summary>An expert with fewer tokens than this tells nothing of its inputs.</summary>
    public const int FewestTokens = 16;

    private Dictionary<int, List<long>>? chosen;

    public InputStatistics Statistics { get; } = statistics;

    /// <summary>Tokens of a row when they were gathered.</summary>
    public int RowLength => length;

    /// <summary>The inputs that were kept, in parts of [tokens, channels]; they belong to this object.</summary>
    public IReadOnlyList<Tensor> All => inputs;

    private SiteInputs(IReadOnlyList<SiteInputs> gathered, int length)
        : this(gathered[0].Statistics, InTurns(gathered, g => g.inputs), InTurns(gathered, g => g.routing), length) => claims = [.. gathered.SelectMany(g => g.claims)];

    private static List<Tensor> InTurns(IReadOnlyList<SiteInputs> gathered, Func<SiteInputs, IReadOnlyList<Tensor>> parts) =>
        [.. Enumerable.Range(0, parts(gathered[0]).Count).SelectMany(turn => gathered.Select(parts).Where(p => turn < p.Count).Select(p => p[turn]))];

    /// <summary>Whether the inputs are here.</summary>
    public bool AreKept => inputs.Count > 0;

    /// <summary>The tokens that an expert gets, by their index among all, ascending.</summary>
    public IReadOnlyList<long> TokensOf(int expert) => Chosen.TryGetValue(expert, out var tokens) ? tokens : [];

    /// <summary>The inputs of one expert, [its tokens, channels], where they are kept.</summary>
    public Tensor Of(int expert)
    {
        using var scope = NewDisposeScope();
        var (parts, start) = (new List<Tensor>(), 0L);
        foreach (var part in inputs)
        {
            if (Select(expert, start, part) is { } own)
                parts.Add(own.to(inputs[0].device)); // each device keeps its own
            start += part.shape[0];
        }
        return (parts.Count == 0 ? empty(0, Statistics.Channels) : cat(parts, 0)).MoveToOuterDisposeScope();
    }

    /// <summary>An expert's rows among those of a part that begins at a token; null where it has none.</summary>
    public Tensor? Select(int expert, long start, Tensor part)
    {
        if (!Chosen.TryGetValue(expert, out var tokens))
            return null;
        var first = FirstFrom(tokens, start);
        var own = new long[FirstFrom(tokens, start + part.shape[0]) - first];
        if (own.Length == 0)
            return null;
        for (var i = 0; i < own.Length; i++)
            own[i] = tokens[first + i] - start;
        using var rows = tensor(own, ScalarType.Int64, part.device);
        return part.index_select(0, rows);
    }

    /// <summary>Index of the first token from a position on; they are in order.</summary>
    private static int FirstFrom(List<long> tokens, long position)
    {
        var at = tokens.BinarySearch(position);
        return at < 0 ? ~at : at;
    }

    private Dictionary<int, List<long>> Chosen => chosen ??= Sort();

    private Dictionary<int, List<long>> Sort()
    {
        var (sorted, start) = (new Dictionary<int, List<long>>(), 0L);
        foreach (var batch in routing)
        {
            var (tokens, k) = (batch.shape[0], batch.shape[1]);
            var ids = TensorMemory.Longs(batch);
            for (var t = 0L; t < tokens; t++)
                for (var j = 0L; j < k; j++)
                {
                    if (!sorted.TryGetValue((int)ids[t * k + j], out var list))
                        sorted[(int)ids[t * k + j]] = list = [];
                    list.Add(start + t);
                }
            start += tokens;
        }
        return sorted;
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
