using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// A folder with a Hugging Face model: <c>config.json</c> and safetensors, in one file or in shards. Opening reads headers
/// only. Links are followed, so that folders of the Hugging Face cache work. Thread-safe for reading.
/// </summary>
public sealed unsafe class ModelFolder : IDisposable
{
    public const string ConfigFile = "config.json";
    public const string SingleFile = "model.safetensors";
    public const string IndexFile = "model.safetensors.index.json";

    private readonly Dictionary<string, (SafetensorsFile File, TensorEntry Entry)> located = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorEntry> tensors = new(StringComparer.Ordinal);
    private readonly List<SafetensorsFile> files = [];

    private ModelFolder(string path, ModelConfig config)
    {
        Path = path;
        Config = config;
    }

    /// <summary>Full path.</summary>
    public string Path { get; }

    public ModelConfig Config { get; }

    public IReadOnlyDictionary<string, TensorEntry> Tensors => tensors;

    /// <summary>Full paths of the safetensors files, in the order of their names.</summary>
    public IReadOnlyList<string> Files => [.. files.Select(f => f.Path)];

    /// <summary>Sum of the tensors' elements.</summary>
    public long ParameterCount => tensors.Values.Sum(t => t.ElementCount);

    /// <summary>Sum of the tensors' bytes.</summary>
    public long ByteSize => tensors.Values.Sum(t => t.ByteLength);

    /// <summary>
    /// Whether the weights are quantised already: by what config.json says, or by packed tensors that it is silent about. MXFP4 does not
    /// count: it is what gpt-oss was trained in, and is read as float.
    /// </summary>
    public bool IsQuantized => Config.QuantizationMethod is not (null or "mxfp4")
        || tensors.Keys.Any(name => name.EndsWith(".qweight", StringComparison.Ordinal) || name.EndsWith(".weight_packed", StringComparison.Ordinal));

    /// <summary>Opens a folder.</summary>
    /// <exception cref="AwqException">Something is missing, malformed, or in a format that is not read; the id and message say what.</exception>
    public static ModelFolder Open(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        if (!Directory.Exists(path))
        {
            throw new AwqException("ModelFolderMissing", AwqErrorKind.NotFound, $"There is no folder '{path}'.",
                File.Exists(path) ? "Give the folder that holds the model, not a file in it." : "Check the path.");
        }
        var single = System.IO.Path.Combine(path, SingleFile);
        var index = System.IO.Path.Combine(path, IndexFile);
        var hasSingle = File.Exists(single);
        if (!hasSingle && !File.Exists(index))
            throw NoWeights(path);
        var config = System.IO.Path.Combine(path, ConfigFile);
        if (!File.Exists(config))
        {
            throw new AwqException("ModelConfigMissing", AwqErrorKind.NotFound, $"The folder '{path}' has weights but no {ConfigFile}.",
                "Download the model's config.json into it.");
        }
        var folder = new ModelFolder(path, ModelConfig.Load(config));
        try
        {
            if (hasSingle)
                folder.AddAll(SafetensorsFile.Open(single));
            else
                folder.AddShards(index);
            return folder;
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    /// <summary>The tensor's place and shape.</summary>
    /// <exception cref="AwqException"><c>TensorMissing</c>.</exception>
    public TensorEntry Entry(string name) => Locate(name).Entry;

    /// <summary>First byte of a tensor, not necessarily aligned; valid until <see cref="Dispose"/>.</summary>
    /// <exception cref="AwqException"><c>TensorMissing</c>.</exception>
    public byte* Pointer(string name)
    {
        var (file, entry) = Locate(name);
        return file.Pointer(entry);
    }

    /// <summary>Gives the tensor's pages back to the system; they are read again when touched again.</summary>
    public void Release(string name)
    {
        var (file, entry) = Locate(name);
        file.Release(entry);
    }

    /// <summary>The same for a piece of a tensor, from byte <paramref name="offset"/> on.</summary>
    public void Release(string name, long offset, long length)
    {
        var (file, entry) = Locate(name);
        file.Release(entry, offset, length);
    }

    /// <summary>Converts a tensor of type F32, F16, BF16 or F64 to float32; its pages go back to the system on the way.</summary>
    /// <param name="destination">Room for as many values as the tensor has elements, in its order.</param>
    /// <exception cref="AwqException"><c>TensorMissing</c>, <c>TensorDtypeNotSupported</c>.</exception>
    public void ReadFloat(string name, float* destination)
    {
        const long Piece = 8 << 20;
        var (file, entry) = Locate(name);
        RequireFloat(entry);
        var size = entry.Dtype.BitSize() / 8;
        for (long start = 0; start < entry.ElementCount; start += Piece)
        {
            var count = Math.Min(Piece, entry.ElementCount - start);
            FloatConversion.ToFloat(entry.Dtype, file.Pointer(entry) + start * size, destination + start, count);
            file.Release(entry, start * size, count * size);
        }
    }

    /// <summary>Converts rows of a matrix to float32.</summary>
    /// <param name="name">A tensor of two dimensions.</param>
    /// <param name="rows">Indices of its rows, in any order.</param>
    /// <param name="destination">[rows, width].</param>
    /// <exception cref="AwqException"><c>TensorMissing</c>, <c>TensorDtypeNotSupported</c>.</exception>
    public void ReadRows(string name, ReadOnlySpan<long> rows, float* destination)
    {
        var (file, entry) = Locate(name);
        RequireFloat(entry);
        if (entry.Shape.Length != 2)
            throw new ArgumentException($"'{name}' has the shape {entry.ShapeText} and no rows.", nameof(name));
        var (height, width, size) = (entry.Shape[0], entry.Shape[1], entry.Dtype.BitSize() / 8);
        for (var i = 0; i < rows.Length; i++)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)rows[i], (ulong)height, nameof(rows));
            FloatConversion.ToFloat(entry.Dtype, file.Pointer(entry) + rows[i] * width * size, destination + i * width, width);
        }
        file.Release(entry);
    }

    /// <inheritdoc cref="ReadFloat(string, float*)"/>
    public void ReadFloat(string name, Span<float> destination)
    {
        var entry = Entry(name);
        if (entry.ElementCount != destination.Length)
            throw new ArgumentException($"'{name}' has {entry.ElementCount} elements, and there is room for {destination.Length}.", nameof(destination));
        fixed (float* first = destination)
            ReadFloat(name, first);
    }

    /// <exception cref="AwqException"><c>TensorDtypeNotSupported</c>.</exception>
    public static void RequireFloat(TensorEntry entry)
    {
        if (entry.Dtype.IsReadableAsFloat())
            return;
        throw new AwqException("TensorDtypeNotSupported", AwqErrorKind.NotSupported,
            $"'{entry.File}': tensor '{entry.Name}' is of type {entry.Dtype}, and only F32, F16, BF16 and F64 are read as weights.",
            "Use the model's float checkpoint; a checkpoint that is quantised already cannot be quantised again.");
    }

    public void Dispose()
    {
        foreach (var file in files)
            file.Dispose();
        files.Clear();
        located.Clear();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private (SafetensorsFile File, TensorEntry Entry) Locate(string name)
    {
        if (located.TryGetValue(name, out var found))
            return found;
        ObjectDisposedException.ThrowIf(files.Count == 0, this);
        throw new AwqException("TensorMissing", AwqErrorKind.NotFound, $"The model '{Path}' has no tensor '{name}'.",
            "Check that the download is complete and that config.json belongs to these weights.");
    }

    private void AddAll(SafetensorsFile file)
    {
        files.Add(file);
        foreach (var entry in file.Tensors.Values)
            Add(file, entry);
    }

    private void Add(SafetensorsFile file, TensorEntry entry)
    {
        located.Add(entry.Name, (file, entry));
        tensors.Add(entry.Name, entry);
    }

    private void AddShards(string index)
    {
        var map = PythonJson.ReadObject(index)["weight_map"] as JsonObject;
        if (map is not { Count: > 0 })
            throw InvalidIndex(index, "it has no weight_map with at least one tensor");
        var shards = new SortedDictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        foreach (var name in map.Select(p => ShardName(index, p.Key, p.Value)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
        {
            var shard = System.IO.Path.Combine(Path, name);
            if (!File.Exists(shard))
            {
                throw new AwqException("CheckpointShardMissing", AwqErrorKind.NotFound,
                    $"'{index}' names the shard '{name}', and the folder does not have it.", "Complete the download.");
            }
            var file = SafetensorsFile.Open(shard);
            files.Add(file);
            shards.Add(name, file);
        }
        foreach (var (tensor, value) in map)
        {
            var name = ShardName(index, tensor, value);
            if (!shards[name].Tensors.TryGetValue(tensor, out var entry))
            {
                throw new AwqException("CheckpointTensorNotInShard", AwqErrorKind.InvalidData,
                    $"'{index}' places tensor '{tensor}' in '{name}', which does not hold it.",
                    "Download the shard and the index again; they are of different versions.");
            }
            Add(shards[name], entry);
        }
    }

    /// <summary>A file name of the index, refused when it leads out of the folder.</summary>
    private static string ShardName(string index, string tensor, JsonNode? value)
    {
        if (value is not JsonValue text || !text.TryGetValue<string>(out var name))
            throw InvalidIndex(index, $"the place of tensor '{tensor}' is not a file name");
        if (name.Length == 0 || name.Contains('\0') || name.Contains(':') || name.StartsWith('/') || name.StartsWith('\\')
            || name.Split('/', '\\').Any(part => part is "" or "." or ".."))
        {
            throw new AwqException("CheckpointIndexUnsafe", AwqErrorKind.InvalidData,
                $"'{index}' places tensor '{tensor}' in '{name}', which is not a plain path inside the folder.",
                "Do not use this checkpoint: its index was tampered with or damaged.");
        }
        return name;
    }

    private static AwqException InvalidIndex(string index, string what) =>
        new("CheckpointIndexInvalid", AwqErrorKind.InvalidData, $"'{index}' is not a valid index: {what}.", "Download the index again.");

    private static AwqException NoWeights(string path)
    {
        // What is there instead decides what the user should do.
        bool Has(params string[] extensions) => Directory.EnumerateFiles(path)
            .Any(f => extensions.Contains(System.IO.Path.GetExtension(f), StringComparer.OrdinalIgnoreCase));
        try
        {
            if (Has(".safetensors"))
            {
                return new AwqException("CheckpointIndexMissing", AwqErrorKind.NotFound,
                    $"The folder '{path}' has safetensors files, but neither {SingleFile} nor {IndexFile}.",
                    $"Download {IndexFile}, or name a file that holds the whole model {SingleFile}.");
            }
            if (Has(".gguf"))
            {
                return new AwqException("CheckpointIsGguf", AwqErrorKind.NotSupported,
                    $"The folder '{path}' holds the model as GGUF only.", "Download the model's safetensors files; GGUF is not read.");
            }
            if (Has(".bin", ".pt", ".pth", ".ckpt"))
            {
                return new AwqException("CheckpointIsPickle", AwqErrorKind.NotSupported,
                    $"The folder '{path}' holds the weights as Python pickles only, which can run code when they are read.",
                    "Download the safetensors files (the Hub often has them in another revision), or convert them in a place you trust.");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (AwqException)FileErrors.OnRead(e, path);
        }
        return new AwqException("CheckpointMissing", AwqErrorKind.NotFound, $"The folder '{path}' holds no model: there is no {SingleFile} and no {IndexFile}.",
            "Give the folder with the model's files.");
    }
}
