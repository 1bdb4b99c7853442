using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>A folder of <c>AWQ_TINY_MODELS</c>: a random checkpoint and what transformers computes with it.</summary>
internal sealed class TinyModel : IDisposable
{
    private readonly ModelFolder folder;
    private readonly SafetensorsFile reference;

    /// <param name="device">Where its layers run; the CPU where none is given. Float32 in any case.</param>
    public TinyModel(string path, ArchitectureCatalog catalog, ComputeDevice? device = null)
    {
        folder = ModelFolder.Open(path);
        reference = SafetensorsFile.Open(Path.Combine(path, "reference.safetensors"));
        Source = new FolderTensorSource(folder);
        Graph = catalog.Resolve(folder.Config.Root, Source.Shapes);
        Model = DecoderModel.Open(Graph, Source, device ?? ComputeDevice.Host, exact: true);
    }

    public FolderTensorSource Source { get; }

    public ModelGraph Graph { get; }

    public DecoderModel Model { get; }

    public static string Root => Environment.GetEnvironmentVariable("AWQ_TINY_MODELS") is { Length: > 0 } chosen
        ? chosen : Path.Combine(Repository.Root, "tests", "data", "tiny");

    public static IEnumerable<string> Cases => Directory.GetDirectories(Root)
        .Where(d => File.Exists(Path.Combine(d, "reference.safetensors"))).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal);

    public static TinyModel Open(string name, ComputeDevice? device = null) => new(Path.Combine(Root, name), Repository.Catalog, device);

    public Tensor Ids
    {
        get
        {
            var entry = reference.Tensors["input_ids"];
            return tensor(Raw<long>("input_ids"), entry.Shape);
        }
    }

    public Tensor Float(string name)
    {
        var shape = reference.Tensors[name].Shape;
        return shape.Length == 0 ? tensor(Raw<float>(name)[0]) : tensor(Raw<float>(name), shape);
    }

    private unsafe T[] Raw<T>(string name) where T : unmanaged
    {
        var entry = reference.Tensors[name];
        return new ReadOnlySpan<byte>(reference.Pointer(entry), (int)entry.ByteLength) is var bytes
            ? System.Runtime.InteropServices.MemoryMarshal.Cast<byte, T>(bytes).ToArray() : [];
    }

    public void Dispose()
    {
        Model.Dispose();
        reference.Dispose();
        folder.Dispose();
    }
}
