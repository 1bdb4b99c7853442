using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>
/// A layer of the quantised model and what is tuned in it: group scales, norms and biases. Its weights are in memory between
/// <see cref="Open"/> and <see cref="Close"/>, or for good where the whole model fits.
/// </summary>
internal sealed class TunedLayer : IDisposable
{
    private readonly DecoderModel model;
    private readonly LayerGraph graph;
    private readonly bool resident;
    private readonly ScalarType products;
    private readonly Dictionary<string, TunedLinear> linears = [];
    private readonly Dictionary<string, Parameter> floats = [];
    private DecoderLayer? layer;

    public TunedLayer(DecoderModel model, ModelSource source, LayerGraph graph, TuningSettings settings, bool resident, ScalarType products, Func<string, Tensor?> residuals)
    {
        (this.model, this.graph, this.resident, this.products) = (model, graph, resident, products);
        foreach (var linear in graph.Linears.Where(l => source.QuantizedModules.Contains(graph.Prefix + l.Module)))
        {
            using var close = residuals(graph.Prefix + linear.Module);
            linears[linear.Module] = new TunedLinear(source.Folder, graph.Prefix + linear.Module, [linear.Out, linear.In],
                source.Quantization!.GroupSizeFor(linear.In), settings, resident, close, model.Compute);
        }
        using var first = Load();
        foreach (var parameter in graph.Parameters.Where(Moves))
            floats[parameter.Name] = new Parameter(first.Weights[parameter.Name], Rate(first.Weights[parameter.Name], parameter.OnePlus, settings));
    }

    /// <summary>In the order that a saved state has.</summary>
    public IEnumerable<Tensor> State => linears.Values.SelectMany(l => l.State).Concat(floats.Values.SelectMany(f => f.State));

    public bool TunesCodes => linears.Values.Any(l => l.Codes is not null);

    /// <summary>The layer with its weights as they are now, each asking for gradients.</summary>
    public DecoderLayer Open()
    {
        if (layer is not null)
            return layer;
        layer = Load();
        layer.Weights.ForwardIn(products);
        Renew();
        return layer;
    }

    private DecoderLayer Load()
    {
        var loaded = model.LoadLayer(graph.Index, IsTuned);
        if (loaded.Compute == model.Compute)
            return loaded;
        loaded.Dispose();
        throw new DeviceMemoryExhaustedException($"layer {graph.Index} does not fit {model.Compute}");
    }

    /// <summary>Takes over parameters that were changed from outside.</summary>
    public void Reset()
    {
        if (layer is not null)
            Renew();
    }

    /// <summary>Frees the weights, unless they are to stay.</summary>
    public void Close()
    {
        if (resident)
            return;
        layer?.Dispose();
        layer = null;
    }

    /// <summary>Takes the gradients that a backward pass has left at the weights for the coming step.</summary>
    /// <param name="codes">Whether codes move in it.</param>
    public void Offer(bool codes)
    {
        foreach (var (module, linear) in linears)
            if (layer!.Weights[module + ".weight"].grad is { } gradient)
                using (gradient)
                    linear.Offer(gradient, codes);
        foreach (var (name, parameter) in floats)
            if (layer!.Weights[name].grad is { } gradient)
                using (gradient)
                    parameter.Offer(gradient);
    }

    /// <summary>One step.</summary>
    public void Step(int step, double factor)
    {
        foreach (var linear in linears.Values)
            linear.Step(step, factor);
        foreach (var parameter in floats.Values)
            parameter.Step(step, factor);
        Reset();
    }

    /// <summary>What the checkpoint holds of all that is tuned, as it is now.</summary>
    public IReadOnlyList<TensorPayload> Payloads()
    {
        var weights = Open().Weights;
        var tuned = graph.Parameters.Where(p => floats.ContainsKey(p.Name)).Select(p => p.Stored.Name).ToHashSet();
        var result = linears.Values.SelectMany(l => l.Payloads()).ToList();
        foreach (var stored in weights.StoredTensors(linears.Keys.ToHashSet()))
            using (stored.Value)
                if (tuned.Contains(stored.FullName))
                    result.Add(TensorPayload.From(stored.FullName, TensorDtype.F16, stored.Value.shape,
                        Array.ConvertAll(ComputeDevice.Download(stored.Value.detach()).contiguous().data<float>().ToArray(), v => (Half)v)));
        Close();
        return result;
    }

    public void Dispose()
    {
        layer?.Dispose();
        foreach (var linear in linears.Values)
            linear.Dispose();
        foreach (var parameter in floats.Values)
            parameter.Dispose();
    }

    /// <summary>Norm weights and biases: everything with one dimension that is stored in float16.</summary>
    private static bool Moves(ParameterSpec parameter) => parameter.Shape.Length == 1 && !parameter.Stored.KeepFloat32
        && (parameter.Name.EndsWith(".weight", StringComparison.Ordinal) || parameter.Name.EndsWith(".bias", StringComparison.Ordinal));

    /// <summary>Weights that are made of codes and group scales here, so that nobody need read them.</summary>
    private bool IsTuned(string parameter) => parameter.EndsWith(".weight", StringComparison.Ordinal) && linears.ContainsKey(parameter[..^".weight".Length]);

    /// <summary>Width of the first step of a norm's weights or a bias: a part of their mean, for they differ by orders of magnitude between models and layers.</summary>
    /// <param name="value">Where it starts.</param>
    /// <param name="onePlus">Whether it multiplies as 1 + weight.</param>
    /// <param name="settings">Which part.</param>
    public static double Rate(Tensor value, bool onePlus, TuningSettings settings)
    {
        using var scope = NewDisposeScope();
        return settings.FloatRate * (onePlus ? value.add(1) : value).abs().mean().item<float>();
    }

    /// <summary>Puts the tuned values where the layer computes with them.</summary>
    private void Renew()
    {
        using var scope = NewDisposeScope();
        using var guard = no_grad();
        foreach (var (module, linear) in linears)
            layer!.Weights.Set(module + ".weight", linear.Weight().requires_grad_(true));
        foreach (var (name, parameter) in floats)
            layer!.Weights.Set(name, parameter.Stored().requires_grad_(true));
    }
}
