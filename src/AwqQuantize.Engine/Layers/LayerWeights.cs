using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>
/// The weights of one layer in the form that the engine computes with: float32, linears as [out, in], experts one by one, keyed
/// by name relative to the layer.
/// </summary>
public sealed class LayerWeights : IDisposable
{
    private readonly LayerGraph graph;
    private readonly Dictionary<string, Tensor> tensors = [];
    private readonly Dictionary<string, int> revisions = [];
    private readonly List<IDisposable> pins = [];
    private IDisposable? reserved;
    private ScalarType forwardType = ScalarType.Float32;
    private bool exact;

    private LayerWeights(LayerGraph graph) => this.graph = graph;

    public Tensor this[string name] => tensors[name];

    public IEnumerable<string> Names => graph.Parameters.Select(p => p.Name);

    public long ByteSize => tensors.Values.Sum(t => t.numel() * t.element_size());

    public bool Contains(string name) => tensors.ContainsKey(name);

    /// <summary>What the products of a forward are made in: what the device prefers, or float32 while <see cref="Exactly"/> holds.</summary>
    public ScalarType ForwardType => exact ? ScalarType.Float32 : forwardType;

    /// <summary>Has the products of forwards made in another type from now on.</summary>
    public void ForwardIn(ScalarType type) => (forwardType, exact) = (type, false);

    /// <summary>Forwards are made in float32 until the result is disposed: what decides something, or is reported, is measured so.</summary>
    public IDisposable Exactly()
    {
        var before = exact;
        exact = true;
        return new Restored(() => exact = before);
    }

    /// <summary>Sees the outputs of linears, by module, and may put others in their place; null for none.</summary>
    internal Func<string, Tensor, Tensor>? OutputProbe { get; set; }

    /// <summary>How often a tensor was changed, so that copies of it can follow.</summary>
    public int Revision(string name) => revisions.GetValueOrDefault(name);

    /// <summary>Notes that a tensor was changed in place.</summary>
    public void Touch(string name) => revisions[name] = Revision(name) + 1;

    /// <summary>Puts a tensor in; one that was there is disposed. Takes ownership.</summary>
    public void Set(string name, Tensor value)
    {
        tensors.TryGetValue(name, out var old);
        tensors[name] = value.DetachFromDisposeScope();
        Touch(name);
        if (!ReferenceEquals(old, value))
            old?.Dispose();
    }

    /// <summary>Reads a layer's tensors and brings them to the engine's form.</summary>
    /// <param name="graph">The layer.</param>
    /// <param name="source">Has them.</param>
    /// <param name="device">Where they go.</param>
    /// <param name="without">Parameters that the caller puts in with <see cref="Set"/>; null for none.</param>
    public static LayerWeights Load(LayerGraph graph, ITensorSource source, Device device, Func<string, bool>? without = null)
    {
        var weights = new LayerWeights(graph);
        try
        {
            using var guard = no_grad();
            foreach (var stored in graph.Parameters.Where(p => without?.Invoke(p.Name) != true).GroupBy(p => p.Stored))
            {
                using var scope = NewDisposeScope();
                var whole = source.Read(stored.Key.Name, device);
                foreach (var parameter in stored)
                {
                    var part = Part(whole, parameter);
                    var own = ReferenceEquals(part, whole) || part.is_contiguous() && stored.Count() == 1 ? part : part.clone();
                    weights.tensors.Add(parameter.Name, own.contiguous().DetachFromDisposeScope());
                }
                NativeHeap.Tidy();
            }
            return weights;
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Fixes the tensors in host memory, so that <see cref="MoveTo"/> is quick; any thread may do it ahead.</summary>
    public void Pin(ComputeDevice device) => pins.AddRange(tensors.Values.Select(device.Pin).OfType<IDisposable>());

    /// <summary>A copy on another device.</summary>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: it does not fit.</exception>
    public LayerWeights CopyTo(ComputeDevice device)
    {
        var copy = new LayerWeights(graph) { reserved = device.Reserve(ByteSize), forwardType = device.ForwardType(graph.HiddenSize) };
        try
        {
            foreach (var (name, tensor) in tensors)
                copy.tensors.Add(name, device.Upload(tensor).DetachFromDisposeScope());
            return copy;
        }
        catch
        {
            copy.Dispose();
            throw;
        }
    }

    /// <summary>Brings all tensors from the host to a device; on the host nothing happens.</summary>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: they do not fit, and are where they were.</exception>
    public void MoveTo(ComputeDevice device)
    {
        var claim = device.Reserve(ByteSize);
        var moved = new Dictionary<string, Tensor>();
        try
        {
            foreach (var (name, tensor) in tensors)
                moved.Add(name, device.Upload(tensor));
            Unpin(device);
        }
        catch
        {
            Unpin(device);
            foreach (var tensor in moved.Values.Except(tensors.Values))
                tensor.Dispose();
            claim.Dispose();
            throw;
        }
        Replace(moved);
        (reserved, forwardType) = (claim, device.ForwardType(graph.HiddenSize));
    }

    /// <summary>Brings all tensors to the host.</summary>
    public void MoveToHost()
    {
        Replace(tensors.ToDictionary(t => t.Key, t => ComputeDevice.Download(t.Value)));
        forwardType = ScalarType.Float32;
        reserved?.Dispose();
        reserved = null;
    }

    /// <summary>What is on its way arrives first.</summary>
    private void Unpin(ComputeDevice? device)
    {
        if (pins.Count == 0)
            return;
        device?.Synchronize();
        foreach (var pin in pins)
            pin.Dispose();
        pins.Clear();
    }

    private void Replace(IReadOnlyDictionary<string, Tensor> others)
    {
        foreach (var (name, tensor) in others)
            Set(name, tensor);
    }

    /// <summary>
    /// Everything of the layer that is written as float: all but the weights of quantised modules, in the layout on disk. A stacked
    /// tensor of which some experts are quantised is written expert by expert, under the names of their modules.
    /// </summary>
    /// <param name="quantisedModules">Modules, relative to the layer, that are written in the quantised format.</param>
    public IEnumerable<FloatTensor> StoredTensors(IReadOnlySet<string> quantisedModules)
    {
        static string Module(ParameterSpec p) => p.Name[..Math.Max(0, p.Name.LastIndexOf('.'))];
        foreach (var stored in graph.Parameters.GroupBy(p => p.Stored))
        {
            var parts = stored.ToList();
            if (!parts.Exists(p => quantisedModules.Contains(Module(p))))
            {
                yield return new FloatTensor(stored.Key.Name, Assemble(stored.Key, parts), stored.Key.KeepFloat32);
                continue;
            }
            foreach (var part in parts.Where(p => !quantisedModules.Contains(Module(p)) || !p.Name.EndsWith(".weight", StringComparison.Ordinal)))
                yield return new FloatTensor(graph.Prefix + part.Name, tensors[part.Name].clone(), stored.Key.KeepFloat32);
        }
    }

    private Tensor Assemble(StoredTensor stored, List<ParameterSpec> parts)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var whole = empty(stored.Shape, ScalarType.Float32, tensors[parts[0].Name].device);
        foreach (var part in parts)
            Part(whole, part).copy_(tensors[part.Name]);
        return whole.MoveToOuterDisposeScope();
    }

    /// <summary>A parameter's part of the tensor that holds it, as a view.</summary>
    private static Tensor Part(Tensor whole, ParameterSpec parameter)
    {
        var part = whole;
        if (parameter.Expert >= 0)
        {
            // Some checkpoints stack experts along the rows of one matrix.
            var shape = parameter.Stored.Shape;
            var rows = shape[0] == parameter.Experts ? shape : [parameter.Experts, shape[0] / parameter.Experts, .. shape[1..]];
            part = whole.view(rows).select(0, parameter.Expert);
        }
        if (parameter.Transposed)
            part = part.transpose(-2, -1);
        return part.shape.Length == 0 || part.shape[0] == parameter.Shape[0] ? part
            : part.slice(0, parameter.RowStart, parameter.RowStart + parameter.RowStep * (parameter.Shape[0] - 1) + 1, parameter.RowStep);
    }

    public void Dispose()
    {
        Unpin(null);
        foreach (var tensor in tensors.Values)
            tensor.Dispose();
        tensors.Clear();
        reserved?.Dispose();
        reserved = null;
    }

    private sealed class Restored(Action restore) : IDisposable
    {
        public void Dispose() => restore();
    }
}
