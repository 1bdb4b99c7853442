using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Packing;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>The tensors of a checkpoint in the AWQ GEMM format, whoever wrote it.</summary>
public sealed class AwqTensorSource : DequantizingTensorSource
{
    private const string Codes = ".qweight";

    /// <param name="folder">The checkpoint.</param>
    /// <param name="config">Its <c>quantization_config</c>.</param>
    /// <exception cref="AwqException"><c>AwqTensorInvalid</c>, <c>TensorMissing</c>: a module's three tensors do not fit each other.</exception>
    public AwqTensorSource(ModelFolder folder, QuantizationConfig config) : base(folder)
    {
        Config = config;
        foreach (var name in folder.Tensors.Keys.Where(n => n.EndsWith(Codes, StringComparison.Ordinal)).Order(StringComparer.Ordinal))
        {
            var module = name[..^Codes.Length];
            if (AwqModule.Problems(module, folder.Tensors, config).FirstOrDefault() is { } problem)
                throw Invalid(problem);
            var codes = folder.Entry(name).Shape;
            Add(module, codes[1] * 8, codes[0], AwqModule.Parts);
        }
    }

    public QuantizationConfig Config { get; }

    private protected override unsafe void Dequantize(string module, int outputs, int inputs, Tensor into)
    {
        var scales = Folder.Entry(module + AwqModule.Scales);
        // Offsets in a file need not be aligned, and scales may be of another type than kernels use.
        var half = new Half[scales.ElementCount];
        var values = new float[half.Length];
        Folder.ReadFloat(scales.Name, values);
        for (var i = 0; i < half.Length; i++)
            half[i] = (Half)values[i];
        fixed (Half* s = half)
            AwqPacking.Dequantize((int*)Folder.Pointer(module + Codes), (int*)Folder.Pointer(module + AwqModule.Zeros), s,
                outputs, inputs, Config.GroupSizeFor(inputs), TensorMemory.Floats(into));
        foreach (var part in AwqModule.Parts)
            Folder.Release(module + part);
    }
}
