using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>
/// The tensors of a checkpoint with quantised modules: a module's <c>.weight</c> is dequantised to [out, in] float32 when it is
/// read, everything else is as in the folder, which must outlive it.
/// </summary>
public abstract class DequantizingTensorSource : ITensorSource
{
    private const string Weight = ".weight";

    private readonly FolderTensorSource plain;
    private readonly Dictionary<string, long[]> shapes;
    private readonly HashSet<string> modules = new(StringComparer.Ordinal);

    /// <param name="folder">The checkpoint.</param>
    private protected DequantizingTensorSource(ModelFolder folder)
    {
        Folder = folder;
        plain = new FolderTensorSource(folder);
        shapes = folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape);
    }

    /// <summary>Full names of the modules that are stored quantised.</summary>
    public IReadOnlySet<string> QuantizedModules => modules;

    /// <summary>Name and shape of every tensor, a quantised module counting as one <c>.weight</c> of [out, in].</summary>
    public IReadOnlyDictionary<string, long[]> Shapes => shapes;

    private protected ModelFolder Folder { get; }

    public bool Contains(string name) => shapes.ContainsKey(name);

    public long[] Shape(string name) => shapes.TryGetValue(name, out var shape) ? shape : Folder.Entry(name).Shape;

    public Tensor Read(string name, Device device)
    {
        if (!name.EndsWith(Weight, StringComparison.Ordinal) || !modules.Contains(name[..^Weight.Length]))
            return plain.Read(name, device);
        var module = name[..^Weight.Length];
        var result = empty(shapes[name], ScalarType.Float32);
        Dequantize(module, (int)shapes[name][0], (int)shapes[name][1], result);
        var there = ComputeDevice.Of(device);
        if (there.IsHost)
            return result;
        using (result)
            return there.Upload(result);
    }

    public Tensor? ReadRows(string name, ReadOnlySpan<long> rows, Device device) => Folder.Tensors.ContainsKey(name) ? plain.ReadRows(name, rows, device) : null;

    /// <summary>Adds a module in place of the tensors that it is stored in.</summary>
    private protected void Add(string module, long outputs, long inputs, IEnumerable<string> parts)
    {
        modules.Add(module);
        foreach (var part in parts)
            shapes.Remove(module + part);
        shapes[module + Weight] = [outputs, inputs];
    }

    /// <summary>What to say of a module whose tensors do not fit each other.</summary>
    private protected AwqException Invalid(string problem) => new("AwqTensorInvalid", AwqErrorKind.InvalidData, $"'{Folder.Path}': {problem}.",
        "The checkpoint is damaged or in another layout than config.json says; Test-AwqOutput says more.");

    /// <summary>Writes what a module's tensors mean.</summary>
    /// <param name="into">[outputs, inputs] float32 in host memory.</param>
    private protected abstract void Dequantize(string module, int outputs, int inputs, Tensor into);
}
