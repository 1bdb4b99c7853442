using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Packing;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>
/// The tensors of a checkpoint in the AWQ GEMM format, whoever wrote it: a quantised module's <c>.weight</c> is dequantised to
/// [out, in] float32 when it is read, everything else is as in <see cref="FolderTensorSource"/>. The folder must outlive it.
/// </summary>
public sealed class AwqTensorSource : ITensorSource
{
    private const string Codes = ".qweight";
    private const string Weight = ".weight";

    private readonly ModelFolder folder;
    private readonly FolderTensorSource plain;
    private readonly Dictionary<string, long[]> shapes;
    private readonly HashSet<string> modules = new(StringComparer.Ordinal);

    /// <param name="folder">The checkpoint.</param>
    /// <param name="config">Its <c>quantization_config</c>.</param>
    /// <exception cref="AwqException"><c>AwqTensorInvalid</c>, <c>TensorMissing</c>: a module's three tensors do not fit each other.</exception>
    public AwqTensorSource(ModelFolder folder, QuantizationConfig config)
    {
        (this.folder, Config) = (folder, config);
        plain = new FolderTensorSource(folder);
        shapes = folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape);
        foreach (var name in folder.Tensors.Keys.Where(n => n.EndsWith(Codes, StringComparison.Ordinal)).Order(StringComparer.Ordinal))
        {
            var module = name[..^Codes.Length];
            var (outputs, inputs) = CheckModule(module);
            modules.Add(module);
            foreach (var part in AwqModule.Parts)
                shapes.Remove(module + part);
            shapes[module + Weight] = [outputs, inputs];
        }
    }

    public QuantizationConfig Config { get; }

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

    public Tensor? ReadRows(string name, ReadOnlySpan<long> rows, Device device) => folder.Tensors.ContainsKey(name) ? plain.ReadRows(name, rows, device) : null;

    private unsafe Tensor Dequantize(string module)
    {
        var shape = shapes[module + Weight];
        var (outputs, inputs) = ((int)shape[0], (int)shape[1]);
        var scales = folder.Entry(module + AwqModule.Scales);
        var result = empty(shape, ScalarType.Float32);
        // Offsets in a file need not be aligned, and scales may be of another type than kernels use.
        var half = new Half[scales.ElementCount];
        var values = new float[half.Length];
        folder.ReadFloat(scales.Name, values);
        for (var i = 0; i < half.Length; i++)
            half[i] = (Half)values[i];
        fixed (Half* s = half)
            AwqPacking.Dequantize((int*)folder.Pointer(module + Codes), (int*)folder.Pointer(module + AwqModule.Zeros), s,
                outputs, inputs, Config.GroupSizeFor(inputs), TensorMemory.Floats(result));
        foreach (var part in AwqModule.Parts)
            folder.Release(module + part);
        return result;
    }

    private (long Outputs, long Inputs) CheckModule(string module)
    {
        if (AwqModule.Problems(module, folder.Tensors, Config).FirstOrDefault() is { } problem)
        {
            throw new AwqException("AwqTensorInvalid", AwqErrorKind.InvalidData, $"'{folder.Path}': {problem}.",
                "The checkpoint is damaged or in another layout than config.json says; Test-AwqOutput says more.");
        }
        var codes = folder.Entry(module + Codes);
        return (codes.Shape[1] * 8, codes.Shape[0]);
    }
}
