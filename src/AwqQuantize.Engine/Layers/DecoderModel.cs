using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>
/// A model that is run layer by layer: each part's weights are read when it is asked for, so that one layer is in memory at a time.
/// </summary>
public sealed unsafe class DecoderModel : IDisposable
{
    private readonly ITensorSource source;
    private readonly ComputeDevice compute;
    private readonly Device device;
    private readonly PositionTables tables;
    private PositionTables? hostTables;
    private readonly Dictionary<string, Tensor> outer = [];

    private DecoderModel(ModelGraph graph, ITensorSource source, ComputeDevice compute)
    {
        (Graph, this.source, this.compute, device) = (graph, source, compute, compute.Torch);
        tables = new PositionTables(device);
    }

    public ModelGraph Graph { get; }

    /// <summary>Where its layers run.</summary>
    public ComputeDevice Compute => compute;

    /// <summary>Whether its layers run in float32 whatever the device prefers: what is reported is measured so.</summary>
    public bool IsExact { get; init; }

    /// <summary>Prepares a model; reads no weights yet. The source must outlive it.</summary>
    public static DecoderModel Open(ModelGraph graph, ITensorSource source, ComputeDevice device, bool exact = false)
    {
        TorchRuntime.EnsureLoaded();
        return new DecoderModel(graph, source, device) { IsExact = exact };
    }

    /// <inheritdoc cref="Open(ModelGraph, ITensorSource, ComputeDevice, bool)"/>
    public static DecoderModel Open(ModelGraph graph, ITensorSource source, Device device) => Open(graph, source, ComputeDevice.Of(device), exact: true);

    /// <summary>The hidden states that enter the first layer, [batch, length, hidden], float32.</summary>
    /// <param name="ids">Token ids, [batch, length], int64; positions start at 0.</param>
    public Tensor Embed(Tensor ids)
    {
        if (Graph.LinearsOnly)
        {
            throw new AwqException("ArchitectureNotSupported", AwqErrorKind.NotSupported,
                $"The architecture of '{Graph.ModelType}' is not known, so the model cannot be run.",
                "Describe it in a JSON file and pass it with -ArchitecturePath; Get-AwqArchitecture lists the known ones.");
        }
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var spec = Graph.Embedding;
        var hidden = Rows(spec.Tokens, ids).view(ids.shape[0], ids.shape[1], spec.Width);
        if (spec.Multiplier != 1)
            hidden = hidden.mul_(spec.Multiplier);
        if (spec.ProjectIn is not null)
            hidden = nn.functional.linear(hidden, Outer($"{spec.ProjectIn}.weight"));
        if (spec.Positions is not null)
        {
            var length = ids.shape[1];
            if (length + spec.PositionOffset > spec.PositionRows)
            {
                throw new AwqException("SequenceTooLong", AwqErrorKind.InvalidArgument,
                    $"The model has learned {spec.PositionRows - spec.PositionOffset} positions; {length} are asked for.",
                    "Use a shorter sequence length.");
            }
            hidden = hidden.add_(Outer(spec.Positions).narrow(0, spec.PositionOffset, length));
        }
        if (spec.Sinusoidal)
            hidden = hidden.add_(Sinusoids(ids.shape[1], spec.PositionOffset));
        if (spec.Norm is not null)
            hidden = Normalization.Apply(spec.Norm, Outer, hidden);
        return hidden.MoveToOuterDisposeScope();
    }

    /// <summary>Reads one layer's weights. The caller disposes it.</summary>
    /// <param name="index">Of the layer.</param>
    /// <param name="without">Parameters that the caller has of its own; null for none.</param>
    public DecoderLayer LoadLayer(int index, Func<string, bool>? without = null) => Place(index, ReadLayer(index, without));

    /// <summary>Reads one layer's weights into host memory; on any thread.</summary>
    /// <inheritdoc cref="LoadLayer"/>
    public LayerWeights ReadLayer(int index, Func<string, bool>? without = null) => LayerWeights.Load(Graph.Layers[index], source, CPU, without);

    /// <summary>Makes a layer of weights in host memory, which it takes over: on the model's device, or on the host where it does not fit there.</summary>
    public DecoderLayer Place(int index, LayerWeights weights)
    {
        var on = compute;
        try
        {
            weights.MoveTo(on);
        }
        catch (Exception e) when (!on.IsHost && OutOfMemory.Is(e))
        {
            on = ComputeDevice.Host;
        }
        if (IsExact)
            weights.Exactly();
        return new DecoderLayer(Graph.Layers[index], weights, on == compute ? tables : hostTables ??= new PositionTables(on.Torch), on);
    }

    /// <summary>Logits [batch, length, vocabulary] of hidden states [batch, length, hidden] after the last layer.</summary>
    public Tensor Logits(Tensor hidden)
    {
        using var guard = no_grad();
        return Predict(hidden);
    }

    /// <summary>The same as <see cref="Logits"/>, recorded for gradients.</summary>
    public Tensor LogitsForGradient(Tensor hidden)
    {
        using var recording = enable_grad();
        return Predict(hidden);
    }

    /// <summary>A parameter outside of the layers, by its full name, as it is now; the model keeps it.</summary>
    public Tensor this[string name] => Outer(name);

    /// <summary>Replaces such a parameter; takes ownership.</summary>
    public void Set(string name, Tensor value)
    {
        Release([name]);
        outer[name] = value.DetachFromDisposeScope();
    }

    private Tensor Predict(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        return Score(Final(hidden.to(device)), Outer(Graph.Head.Weight), Graph.Head.Bias is null ? null : Outer(Graph.Head.Bias)).MoveToOuterDisposeScope();
    }

    /// <summary>What the head's weight is multiplied with.</summary>
    private Tensor Final(Tensor hidden)
    {
        if (Graph.Head.FinalNorm is { } norm)
            hidden = Normalization.Apply(norm, Outer, hidden);
        return Graph.Head.ProjectOut is { } module ? nn.functional.linear(hidden, Outer($"{module}.weight")) : hidden;
    }

    /// <summary>Logits of some rows of the head.</summary>
    private Tensor Score(Tensor hidden, Tensor weight, Tensor? bias)
    {
        if (Graph.Head.NormalizedWeight)
            weight = nn.functional.normalize(weight, dim: 1);
        var logits = nn.functional.linear(hidden, weight, bias);
        if (Graph.Head.Multiplier != 1)
            logits.mul_(Graph.Head.Multiplier);
        if (Graph.Head.SoftCap > 0)
            logits = logits.div_(Graph.Head.SoftCap).tanh_().mul(Graph.Head.SoftCap);
        return logits;
    }

    /// <summary>Mean negative log-likelihood of targets, in nats: the head is read in pieces, so that no vocabulary is too large.</summary>
    /// <param name="hidden">[tokens, hidden] after the last layer.</param>
    /// <param name="targets">[tokens] int64: the token that comes next at each position.</param>
    public double CrossEntropy(Tensor hidden, Tensor targets)
    {
        const int Piece = 8192;
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        targets = targets.to(device);
        hidden = Final(hidden.to(device));
        var largest = full(hidden.shape[0], float.NegativeInfinity, device: device);
        var (sum, wanted) = (zeros_like(largest), zeros_like(largest));
        for (var from = 0; from < Graph.VocabularySize; from += Piece)
        {
            using var inner = NewDisposeScope();
            var count = Math.Min(Piece, Graph.VocabularySize - from);
            var rows = Enumerable.Range(from, count).Select(i => (long)i).ToArray();
            var weight = source.ReadRows(Graph.Head.Weight, rows, device) ?? Outer(Graph.Head.Weight).narrow(0, from, count);
            var logits = Score(hidden, weight, Graph.Head.Bias is null ? null : Outer(Graph.Head.Bias).narrow(0, from, count));
            var peak = maximum(largest, logits.amax([1L]));
            sum.mul_(largest.sub_(peak).exp_()).add_(logits.sub(peak.unsqueeze(1)).exp_().sum([1L]));
            largest.copy_(peak);
            var place = targets.sub(from);
            var inside = place.ge(0).logical_and_(place.lt(count));
            wanted.add_(logits.gather(1, place.clamp(0, count - 1).unsqueeze(1)).squeeze(1).mul_(inside));
        }
        return sum.log_().add_(largest).sub_(wanted).mean().item<float>();
    }

    /// <summary>Frees the embedding; the next <see cref="Embed"/> reads it again.</summary>
    public void ReleaseEmbedding()
    {
        var spec = Graph.Embedding;
        Release([spec.Tokens, spec.Positions, spec.ProjectIn is null ? null : $"{spec.ProjectIn}.weight"]);
    }

    /// <summary>Frees the head; the next <see cref="Logits"/> reads it again.</summary>
    public void ReleaseHead() =>
        Release([Graph.Head.Weight, Graph.Head.Bias, Graph.Head.ProjectOut is null ? null : $"{Graph.Head.ProjectOut}.weight"]);

    private void Release(IEnumerable<string?> names)
    {
        foreach (var name in names)
        {
            if (name is not null && outer.Remove(name, out var tensor))
                tensor.Dispose();
        }
    }

    /// <summary>Rows of a matrix outside of the layers, one for each id.</summary>
    private Tensor Rows(string name, Tensor ids)
    {
        if (!outer.ContainsKey(name))
        {
            using var flat = ids.cpu().flatten().contiguous();
            if (source.ReadRows(name, new ReadOnlySpan<long>(TensorMemory.Longs(flat), (int)flat.numel()), device) is { } rows)
                return rows;
        }
        return Outer(name).index_select(0, ids.to(device).flatten());
    }

    private Tensor Outer(string name)
    {
        if (!outer.TryGetValue(name, out var tensor))
            outer[name] = tensor = source.Read(name, device).DetachFromDisposeScope();
        return tensor;
    }

    /// <summary>[length, hidden]: sines, then cosines, of frequencies 10000^(-j / (half - 1)) (xglm).</summary>
    private Tensor Sinusoids(long length, int offset)
    {
        var half = Graph.HiddenSize / 2;
        var frequencies = arange(half, ScalarType.Float32).mul(-(float)(Math.Log(10000) / (half - 1))).exp();
        var angles = arange(offset, offset + length, ScalarType.Float32).unsqueeze(1).mul(frequencies.unsqueeze(0));
        var table = cat([angles.sin(), angles.cos()], 1);
        return (Graph.HiddenSize % 2 == 1 ? nn.functional.pad(table, [0, 1]) : table).to(device);
    }

    public void Dispose()
    {
        Release([.. outer.Keys]);
        tables.Dispose();
        hostTables?.Dispose();
    }
}
