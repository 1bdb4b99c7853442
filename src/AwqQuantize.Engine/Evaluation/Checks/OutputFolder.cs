using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>
/// What checks look at: a checkpoint read as far as it can be read, so that one defect does not hide the others. What could not be
/// read is kept as the error that said so.
/// </summary>
internal sealed class OutputFolder : IDisposable
{
    private readonly Dictionary<string, SafetensorsFile> files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, AwqException> brokenFiles = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorEntry> tensors = new(StringComparer.Ordinal);

    /// <param name="options">The paths.</param>
    /// <param name="catalog">Known architectures.</param>
    /// <exception cref="AwqException">There is no such folder, or the source cannot be opened: nothing to check, or nothing to check against.</exception>
    public OutputFolder(OutputTestOptions options, ArchitectureCatalog catalog)
    {
        Options = options;
        Path = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(options.Path));
        if (!Directory.Exists(Path))
        {
            throw new AwqException("ModelFolderMissing", AwqErrorKind.NotFound, $"There is no folder '{Path}'.",
                System.IO.File.Exists(Path) ? "Give the folder that holds the checkpoint, not a file in it." : "Check the path.");
        }
        Source = options.SourcePath is { } source ? ModelSource.Open(source, catalog) : null;
        Config = Attempt(() => PythonJson.ReadObject(File(ModelFolder.ConfigFile)), out var error);
        ConfigError = error;
        var all = Directory.EnumerateFiles(Path, "*.safetensors").Select(f => System.IO.Path.GetFileName(f)).Order(StringComparer.Ordinal).ToList();
        // Readers take the single file, or what the index names.
        var isSingle = all.Contains(ModelFolder.SingleFile) && !System.IO.File.Exists(File(ModelFolder.IndexFile));
        StrayFiles = isSingle ? [.. all.Where(f => f != ModelFolder.SingleFile)] : [];
        foreach (var file in all.Except(StrayFiles))
            Open(File(file));
        error = null;
        if (Config is not null && CompressedTensorsConfig.IsAnnounced(Config))
            Packed = Attempt(() => CompressedTensorsConfig.Read(Config, File(ModelFolder.ConfigFile)), out error);
        else if (Config is not null)
            Quantization = Attempt(() => QuantizationConfig.Read(Config, File(ModelFolder.ConfigFile)), out error);
        QuantizationError = error;
        Model = Attempt(() => ModelSource.Open(Path, catalog), out error);
        ModelError = error;
        if (Model is { IsQuantized: false })
        {
            Model.Dispose();
            Model = null;
        }
    }

    public OutputTestOptions Options { get; }

    /// <summary>Full path.</summary>
    public string Path { get; }

    /// <summary>config.json, or null with <see cref="ConfigError"/>.</summary>
    public JsonObject? Config { get; }

    public AwqException? ConfigError { get; }

    /// <summary>Its quantisation, or null with <see cref="QuantizationError"/> or where it is <see cref="Packed"/>.</summary>
    public QuantizationConfig? Quantization { get; }

    /// <summary>The same where it is of the compressed-tensors kind.</summary>
    public CompressedTensorsConfig? Packed { get; }

    public AwqException? QuantizationError { get; }

    /// <summary>Names of safetensors files that are no part of the checkpoint.</summary>
    public IReadOnlyList<string> StrayFiles { get; }

    /// <summary>Safetensors files that could be opened, by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsFile> Files => files;

    /// <summary>Those that could not.</summary>
    public IReadOnlyDictionary<string, AwqException> BrokenFiles => brokenFiles;

    /// <summary>All tensors of all files; of two with one name, the first.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => tensors;

    /// <summary>The checkpoint as a quantised model that runs, or null with <see cref="ModelError"/> (or without, where it is float).</summary>
    public ModelSource? Model { get; }

    public AwqException? ModelError { get; }

    /// <summary>The float model, or null where none was given.</summary>
    public ModelSource? Source { get; }

    /// <summary>Filled by the round trip.</summary>
    public List<ModuleError> ModuleErrors { get; } = [];

    /// <summary>Filled by the measurement.</summary>
    public AwqMeasurement? Measurement { get; set; }

    /// <summary>Filled by the sample.</summary>
    public string? SampleText { get; set; }

    /// <summary>Told how far a long check is.</summary>
    public Action<string, double>? Progress { get; init; }

    public CancellationToken Cancel { get; init; }

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public unsafe byte* Pointer(TensorEntry entry) => files[System.IO.Path.GetFileName(entry.File)].Pointer(entry);

    /// <summary>Names of modules that have at least one tensor of the checkpoint's format, in order.</summary>
    public IEnumerable<string> StoredModules => Packed is null ? AwqModules : PackedModule.Names(tensors.Keys);

    /// <summary>What is wrong with one of them.</summary>
    public IEnumerable<string> Problems(string module) => Packed is not null ? PackedModule.Problems(module, tensors, Address)
        : Quantization is { } config ? AwqModule.Problems(module, tensors, config) : [];

    /// <summary>Name of a module's scales.</summary>
    public string ScalesOf(string module) => module + (Packed is null ? AwqModule.Scales : PackedModule.Scales);

    /// <summary>First byte of a tensor.</summary>
    public unsafe nint Address(TensorEntry entry) => (nint)Pointer(entry);

    /// <summary>Names of modules that have at least one tensor of the AWQ format, in order.</summary>
    public IEnumerable<string> AwqModules => tensors.Keys.Where(n => !n.EndsWith(AwqModule.Scales, StringComparison.Ordinal))
        .Concat(tensors.Keys.Where(n => n.EndsWith(AwqModule.Scales, StringComparison.Ordinal) && !IsActivationScale(n)))
        .Where(n => AwqModule.Parts.Any(p => n.EndsWith(p, StringComparison.Ordinal)))
        .Select(n => n[..n.LastIndexOf('.')]).Distinct().Order(StringComparer.Ordinal);

    /// <summary>AutoAWQ keeps the scales of some activations as a vector of that name.</summary>
    private bool IsActivationScale(string name) => tensors[name].Shape.Length == 1;

    private void Open(string file)
    {
        var name = System.IO.Path.GetFileName(file);
        if (Attempt(() => SafetensorsFile.Open(file), out var error) is not { } opened)
        {
            brokenFiles[name] = error!;
            return;
        }
        files[name] = opened;
        foreach (var entry in opened.Tensors.Values)
            tensors.TryAdd(entry.Name, entry);
    }

    private static T? Attempt<T>(Func<T> open, out AwqException? error)
        where T : class
    {
        error = null;
        try
        {
            return open();
        }
        catch (AwqException e)
        {
            // Not lost: the check that it belongs to tells it.
            error = e;
            return null;
        }
    }

    public void Dispose()
    {
        foreach (var file in files.Values)
            file.Dispose();
        Model?.Dispose();
        Source?.Dispose();
    }
}
