using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>A model that can be run, float, in the AWQ GEMM format or as llm-compressor exports it: its folder, its graph, its weights.</summary>
public sealed class ModelSource : IDisposable
{
    private ModelSource(ModelFolder folder, ModelGraph graph, ITensorSource tensors, QuantizationConfig? quantization, IReadOnlySet<string> modules)
    {
        (Folder, Graph, Tensors, Quantization, QuantizedModules) = (folder, graph, tensors, quantization, modules);
    }

    public ModelFolder Folder { get; }

    public ModelGraph Graph { get; }

    /// <summary>The weights, as float32.</summary>
    public ITensorSource Tensors { get; }

    /// <summary>Null where the model is not in the AWQ GEMM format.</summary>
    public QuantizationConfig? Quantization { get; }

    /// <summary>Null where the model is not in the format of compressed-tensors.</summary>
    public CompressedTensorsConfig? Packed { get; private init; }

    public bool IsQuantized => Quantization is not null || Packed is not null;

    /// <summary>Full names of the modules that are stored quantised; none in a float model.</summary>
    public IReadOnlySet<string> QuantizedModules { get; }

    /// <summary>Opens a folder; reads headers only.</summary>
    /// <exception cref="AwqException">The folder, its config or its tensors are not what the architecture asks for, or it is
    /// quantised in a way that is not read.</exception>
    public static ModelSource Open(string path, ArchitectureCatalog catalog)
    {
        var folder = ModelFolder.Open(path);
        try
        {
            if (!folder.IsQuantized)
            {
                var plain = new FolderTensorSource(folder);
                return new ModelSource(folder, catalog.Resolve(folder.Config.Root, plain.Shapes), plain, null, new HashSet<string>());
            }
            // To the architecture it is the model that it was made from.
            var root = (JsonObject)folder.Config.Root.DeepClone();
            root.Remove(QuantizationConfig.Key);
            root.Remove("compression_config");
            if (CompressedTensorsConfig.IsAnnounced(folder.Config.Root))
            {
                var compressed = CompressedTensorsConfig.Read(folder.Config.Root, Path.Combine(folder.Path, ModelFolder.ConfigFile));
                var packed = new PackedTensorSource(folder);
                var resolved = catalog.Resolve(root, packed.Shapes, packed.QuantizedModules);
                return new ModelSource(folder, resolved, packed, null, packed.QuantizedModules) { Packed = compressed };
            }
            var config = QuantizationConfig.Read(folder.Config.Root, Path.Combine(folder.Path, ModelFolder.ConfigFile));
            var awq = new AwqTensorSource(folder, config);
            return new ModelSource(folder, catalog.Resolve(root, awq.Shapes, awq.QuantizedModules), awq, config, awq.QuantizedModules);
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    public void Dispose() => Folder.Dispose();
}
