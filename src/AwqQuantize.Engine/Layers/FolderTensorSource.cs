using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>The float tensors of a model folder, those in MXFP4 among them. The folder must outlive it.</summary>
public sealed class FolderTensorSource(ModelFolder folder) : ITensorSource
{
    /// <summary>Name and shape of every tensor, as <see cref="Architectures.ArchitectureCatalog.Resolve"/> takes them.</summary>
    public IReadOnlyDictionary<string, long[]> Shapes => Mxfp4.Shapes(folder);

    public bool Contains(string name) => folder.Tensors.ContainsKey(name) || Mxfp4.Holds(folder, name);

    public long[] Shape(string name) => Mxfp4.Holds(folder, name) ? Mxfp4.ShapeOf(folder, name) : folder.Entry(name).Shape;

    public unsafe Tensor Read(string name, Device device)
    {
        var result = empty(Shape(name), ScalarType.Float32);
        try
        {
            if (Mxfp4.Holds(folder, name))
                Mxfp4.Read(folder, name, TensorMemory.Floats(result));
            else
                folder.ReadFloat(name, TensorMemory.Floats(result));
        }
        catch
        {
            result.Dispose();
            throw;
        }
        return Placed(result, device);
    }

    public unsafe Tensor? ReadRows(string name, ReadOnlySpan<long> rows, Device device)
    {
        var result = empty([rows.Length, folder.Entry(name).Shape[1]], ScalarType.Float32);
        try
        {
            folder.ReadRows(name, rows, TensorMemory.Floats(result));
        }
        catch
        {
            result.Dispose();
            throw;
        }
        return Placed(result, device);
    }

    private static Tensor Placed(Tensor result, Device device)
    {
        var there = ComputeDevice.Of(device);
        if (there.IsHost)
            return result;
        using (result)
            return there.Upload(result);
    }
}
