using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>
/// The tensors of a checkpoint in the <c>pack-quantized</c> format of compressed-tensors: a quantised module's <c>.weight</c> is
/// dequantised to [out, in] float32 when it is read, everything else is as in the folder, which must outlive it.
/// </summary>
internal sealed class PackedTensorSource : ITensorSource
{
    private const string Weight = ".weight";

    private readonly ModelFolder folder;
    private readonly FolderTensorSource plain;
    private readonly Dictionary<string, long[]> shapes;
    private readonly HashSet<string> modules = new(StringComparer.Ordinal);

    /// <exception cref="AwqException"><c>AwqTensorInvalid</c>: a module's tensors do not fit each other.</exception>
    public PackedTensorSource(ModelFolder folder)
    {
        this.folder = folder;
        plain = new FolderTensorSource(folder);
        shapes = folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape);
        foreach (var module in PackedModule.Names(folder.Tensors.Keys))
        {
            if (PackedModule.Problems(module, folder.Tensors, Pointer).FirstOrDefault() is { } problem)
            {
                throw new AwqException("AwqTensorInvalid", AwqErrorKind.InvalidData, $"'{folder.Path}': {problem}.",
                    "The checkpoint is damaged or in another layout than config.json says; Test-AwqOutput says more.");
            }
            var shape = folder.Entry(module + PackedModule.Shape);
            var (outputs, inputs) = PackedModule.SizeOf(shape, Pointer(shape));
            modules.Add(module);
            foreach (var part in PackedModule.Parts)
                shapes.Remove(module + part);
            shapes[module + Weight] = [outputs, inputs];
        }
    }

    /// <summary>Full names of the modules that are stored quantised.</summary>
    public IReadOnlySet<string> QuantizedModules => modules;

    /// <summary>Name and shape of every tensor, a quantised module counting as one <c>.weight</c> of [out, in].</summary>
    public IReadOnlyDictionary<string, long[]> Shapes => shapes;

    public bool Contains(string name) => shapes.ContainsKey(name);

    public long[] Shape(string name) => shapes.TryGetValue(name, out var shape) ? shape : folder.Entry(name).Shape;

    public Tensor Read(string name, Device device)
    {
        if (!name.EndsWith(Weight, StringComparison.Ordinal) || !modules.Contains(name[..^Weight.Length]))
            return plain.Read(name, device);
        var result = Dequantize(name[..^Weight.Length]);
        var there = ComputeDevice.Of(device);
        if (there.IsHost)
            return result;
        using (result)
            return there.Upload(result);
    }

    private unsafe nint Pointer(TensorEntry entry) => (nint)folder.Pointer(entry.Name);

    private unsafe Tensor Dequantize(string module)
    {
        var shape = shapes[module + Weight];
        var (codes, zeros, groups) = PackedModule.Unpack(module, folder.Tensors, Pointer);
        var scales = new float[zeros.Length];
        folder.ReadFloat(module + PackedModule.Scales, scales);
        var (outputs, inputs) = ((int)shape[0], (int)shape[1]);
        var group = GroupOf(module, inputs, groups);
        var result = empty(shape, ScalarType.Float32);
        var destination = TensorMemory.Floats(result);
        RowParallel.For(outputs, inputs, (from, to) =>
        {
            for (var o = (long)from; o < to; o++)
                for (var i = 0; i < inputs; i++)
                    destination[o * inputs + i] = (codes[o * inputs + i] - zeros[o * groups + group[i]]) * scales[o * groups + group[i]];
        });
        foreach (var part in PackedModule.Parts.Where(p => folder.Tensors.ContainsKey(module + p)))
            folder.Release(module + part);
        return result;
    }

    /// <summary>Group of each input.</summary>
    private unsafe int[] GroupOf(string module, int inputs, int groups)
    {
        if (folder.Tensors.TryGetValue(module + PackedModule.Groups, out var index))
        {
            var stored = new ReadOnlySpan<int>(folder.Pointer(index.Name), inputs).ToArray();
            if (!stored.Contains(-1))
                return stored;
        }
        return [.. Enumerable.Range(0, inputs).Select(i => i / (inputs / groups))];
    }
}
