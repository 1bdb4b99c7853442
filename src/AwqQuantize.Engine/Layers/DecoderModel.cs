using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>
/// A model that is run layer by layer: each part's weights are read when it is asked for, so that one layer is in memory at a time.
/// </summary>
public sealed class DecoderModel : IDisposable
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

    /// <summary>Prepares a model; reads no weights yet. The source must outlive it.</summary>
    public static DecoderModel Open(ModelGraph graph, ITensorSource source, ComputeDevice device)
    {
        TorchRuntime.EnsureLoaded();
        return new DecoderModel(graph, source, device);
    }

    /// <inheritdoc cref="Open(ModelGraph, ITensorSource, ComputeDevice)"/>
    public static DecoderModel Open(ModelGraph graph, ITensorSource source, Device device) => Open(graph, source, ComputeDevice.Of(device));

    /// <summary>The hidden states that enter the first layer, [batch, length, hidden], float32.</summary>
    /// <param name="ids">Token ids, [batch, length], int64; positions start at 0.</param>
    public Tensor Embed(Tensor ids)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var spec = Graph.Embedding;
        var hidden = Outer(spec.Tokens).index_select(0, ids.to(device).flatten()).view(ids.shape[0], ids.shape[1], spec.Width);
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
    public DecoderLayer LoadLayer(int index) => Place(index, ReadLayer(index));

    /// <summary>Reads one layer's weights into host memory; on any thread.</summary>
    public LayerWeights ReadLayer(int index) => LayerWeights.Load(Graph.Layers[index], source, CPU);

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
        return new DecoderLayer(Graph.Layers[index], weights, on == compute ? tables : hostTables ??= new PositionTables(on.Torch), on);
    }

    /// <summary>Logits [batch, length, vocabulary] of hidden states [batch, length, hidden] after the last layer.</summary>
    public Tensor Logits(Tensor hidden)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var spec = Graph.Head;
        if (spec.FinalNorm is not null)
            hidden = Normalization.Apply(spec.FinalNorm, Outer, hidden);
        if (spec.ProjectOut is not null)
            hidden = nn.functional.linear(hidden, Outer($"{spec.ProjectOut}.weight"));
        var weight = Outer(spec.Weight);
        if (spec.NormalizedWeight)
            weight = nn.functional.normalize(weight, dim: 1);
        var logits = nn.functional.linear(hidden, weight, spec.Bias is null ? null : Outer(spec.Bias));
        if (spec.Multiplier != 1)
            logits.mul_(spec.Multiplier);
        if (spec.SoftCap > 0)
            logits.div_(spec.SoftCap).tanh_().mul_(spec.SoftCap);
        return logits.MoveToOuterDisposeScope();
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
