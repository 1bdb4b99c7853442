using System.Runtime.InteropServices;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Packing;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Runs;

/// <summary>What a finished layer contributes to the checkpoint: packed linears, and everything else as float16. It can be written on any thread, also when the layer is gone.</summary>
public sealed unsafe class LayerPart : IDisposable
{
    private readonly List<TensorPayload> tensors = [];
    private readonly List<Tensor> kept = [];

    /// <param name="layer">Finished.</param>
    /// <param name="quantized">Its quantised linears by module.</param>
    public LayerPart(DecoderLayer layer, IReadOnlyDictionary<string, QuantizedLinear> quantized)
    {
        foreach (var (module, linear) in quantized)
        {
            var (rows, columns, groups) = (linear.Rows, (long)linear.Columns, linear.Groups);
            var name = layer.Graph.Prefix + module;
            // Packed when its turn comes, so that only one linear is there twice.
            tensors.Add(new TensorPayload(name + ".qweight", TensorDtype.I32, [columns, rows / 8], stream => stream.Write(MemoryMarshal.AsBytes((linear.Words ?? AwqPacking.PackWords(linear.Codes, rows, linear.Columns)).AsSpan()))));
            tensors.Add(new TensorPayload(name + ".qzeros", TensorDtype.I32, [groups, rows / 8], stream => stream.Write(MemoryMarshal.AsBytes(AwqPacking.PackWords(linear.Zeros, rows, groups).AsSpan()))));
            tensors.Add(new TensorPayload(name + ".scales", TensorDtype.F16, [groups, rows], stream => stream.Write(MemoryMarshal.AsBytes(AwqPacking.TransposeScales(linear.Scales, rows, groups).AsSpan()))));
        }
        foreach (var stored in layer.Weights.StoredTensors(quantized.Keys.ToHashSet()))
        {
            using var scope = NewDisposeScope();
            var value = stored.Value.cpu().contiguous().DetachFromDisposeScope();
            kept.Add(value);
            if (!ReferenceEquals(value, stored.Value))
                stored.Value.Dispose();
            var data = TensorMemory.Floats(value);
            tensors.Add(stored.KeepFloat32
                ? TensorPayload.FromPointer(stored.FullName, TensorDtype.F32, value.shape, (byte*)data, value.numel() * sizeof(float))
                : TensorPayload.HalfFromFloat(stored.FullName, value.shape, data));
        }
    }

    public void Write(string path) => PartFile.Write(path, [.. tensors.OrderBy(t => t.Name, StringComparer.Ordinal)]);

    public void Dispose()
    {
        foreach (var tensor in kept)
            tensor.Dispose();
    }

    /// <summary>Writes the residuals of a layer's linears, for tuning.</summary>
    public static void WriteResiduals(string path, DecoderLayer layer, IReadOnlyDictionary<string, QuantizedLinear> quantized) =>
        PartFile.Write(path, [.. quantized.Where(q => q.Value.Residuals is not null).OrderBy(q => q.Key, StringComparer.Ordinal)
            .Select(q => TensorPayload.From(layer.Graph.Prefix + q.Key, TensorDtype.I8, [q.Value.Rows, q.Value.Columns], q.Value.Residuals!))]);

    /// <summary>Writes what is outside of the layers, straight from the source.</summary>
    public static void WriteOuter(string path, ModelFolder folder, Architectures.ModelGraph graph) =>
        PartFile.Write(path, [.. graph.OuterTensors.Where(t => folder.Tensors.ContainsKey(t.Name)).OrderBy(t => t.Name, StringComparer.Ordinal)
            .Select(t => graph.KeepFloat32.Contains(t.Name) ? TensorPayload.Copy(folder, t.Name) : TensorPayload.AsHalf(folder, t.Name))]);
}
