using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Runs;

/// <summary>Finds model folders, also those of a Hugging Face cache (<c>models--organisation--name/snapshots/revision</c>).</summary>
public sealed class ModelDiscovery
{
    private const string CachePrefix = "models--";

    private readonly HashSet<string> visited = new(StringComparer.Ordinal);
    private readonly ArchitectureCatalog catalog;
    private readonly bool recurse;
    private readonly CancellationToken cancellation;

    private ModelDiscovery(ArchitectureCatalog catalog, bool recurse, CancellationToken cancellation)
    {
        this.catalog = catalog;
        this.recurse = recurse;
        this.cancellation = cancellation;
    }

    /// <summary>
    /// The model at <paramref name="path"/>, or those in its folders. A cached model is found in its newest revision.
    /// </summary>
    /// <param name="catalog">The architectures that decide what is supported.</param>
    /// <param name="recurse">Looks at every depth, also below model folders.</param>
    /// <exception cref="AwqException"><c>ModelFolderMissing</c>: there is no such folder.</exception>
    public static IEnumerable<AwqModelInfo> Find(string path, ArchitectureCatalog catalog, bool recurse, CancellationToken cancellation)
    {
        if (!Directory.Exists(path))
        {
            throw new AwqException("ModelFolderMissing", AwqErrorKind.NotFound, $"There is no folder '{path}'.",
                File.Exists(path) ? "Give the folder that holds the model, not a file in it." : "Check the path.");
        }
        return new ModelDiscovery(catalog, recurse, cancellation).Walk(path, depth: 0);
    }

    /// <summary>Whether the folder holds a model in any format, supported or not.</summary>
    public static bool IsModelFolder(string path)
    {
        var hasConfig = false;
        var hasWeights = false;
        foreach (var file in Directory.EnumerateFiles(path))
        {
            hasConfig |= Path.GetFileName(file) == ModelFolder.ConfigFile;
            var extension = Path.GetExtension(file).ToLowerInvariant();
            if (extension == ".gguf")
                return true;
            hasWeights |= extension is ".safetensors" or ".bin" or ".pt" or ".pth";
        }
        return hasConfig && hasWeights;
    }

    /// <summary>Reads the configuration and the headers of the weights, and looks for the architecture.</summary>
    public static AwqModelInfo Describe(string path, ArchitectureCatalog catalog)
    {
        path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        var info = new AwqModelInfo { Path = path, Name = NameOf(path), Finished = Destinations(path, IsFinished), Unfinished = Destinations(path, RunFolder.IsBegun) };
        try
        {
            using var folder = ModelFolder.Open(path);
            info = info with
            {
                Architecture = folder.Config.ModelType,
                Parameters = folder.ParameterCount,
                Size = folder.ByteSize,
                Dtype = folder.Tensors.Values.GroupBy(t => t.Dtype).OrderByDescending(g => g.Sum(t => t.ByteLength)).FirstOrDefault()?.Key.ToString(),
                Files = folder.Files.Count,
                Quantization = folder.Config.QuantizationMethod ?? (folder.IsQuantized ? "unknown" : null),
            };
            if (folder.IsQuantized)
                return info with { ErrorId = "ModelAlreadyQuantized", Reason = $"The weights are quantised already ({info.Quantization})." };
            // Throws when no architecture fits every tensor.
            var graph = catalog.Resolve(folder.Config.Root, Mxfp4.Shapes(folder));
            if (graph.LinearsOnly)
            {
                return info with
                {
                    ErrorId = "ArchitectureNotSupported",
                    Reason = $"The model type '{graph.ModelType}' is not known, and no known architecture fits its tensors: its linears could only be rounded plainly.",
                };
            }
            var options = new QuantizationOptions { ModelPath = path, ModuleRoot = path };
            var plan = PlanEstimate.Of(options, graph, folder);
            return plan.QuantizedModules == 0
                ? info with { Family = graph.Family, ErrorId = "NothingToQuantize", Reason = $"No linear can be quantised with group size {options.GroupSize}; try a smaller one." }
                : info with { Family = graph.Family, EstimatedSize = plan.Size, EstimatedMemory = plan.PeakMemory, EstimatedTime = plan.Duration };
        }
        catch (AwqException e)
        {
            return info with { Architecture = info.Architecture ?? ModelTypeOf(path), ErrorId = e.Id, Reason = e.Message };
        }
    }

    private static List<string> Destinations(string model, Func<string, bool> are) =>
        [.. ((string[])[Destination.DefaultName, Destination.MaximumName]).Select(n => Path.Combine(model, n)).Where(are)];

    /// <summary>A destination gets its name when it is complete.</summary>
    private static bool IsFinished(string destination) => File.Exists(Path.Combine(destination, ModelFolder.ConfigFile));

    private IEnumerable<AwqModelInfo> Walk(string path, int depth)
    {
        cancellation.ThrowIfCancellationRequested();
        // Links may lead in circles; a folder is looked at once, by the path that it really has.
        if (!visited.Add(new DirectoryInfo(path).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? Path.GetFullPath(path)))
            yield break;
        if (Path.GetFileName(path).StartsWith(CachePrefix, StringComparison.Ordinal) && NewestRevision(path) is { } revision)
        {
            yield return Describe(revision, catalog);
            yield break;
        }
        bool isModel;
        List<string> folders;
        try
        {
            isModel = IsModelFolder(path);
            folders = [.. Directory.EnumerateDirectories(path).Where(IsWorthALook).Order(StringComparer.Ordinal)];
        }
        catch (UnauthorizedAccessException) when (depth > 0)
        {
            // A folder below that this user may not list cannot be quantised by this user either.
            yield break;
        }
        catch (UnauthorizedAccessException e)
        {
            throw FileErrors.OnRead(e, path);
        }
        if (isModel)
            yield return Describe(path, catalog);
        if (recurse || (depth == 0 && !isModel))
        {
            foreach (var found in folders.SelectMany(f => Walk(f, depth + 1)))
                yield return found;
        }
    }

    private static bool IsWorthALook(string folder) =>
        Path.GetFileName(folder) is var name && !name.StartsWith('.') && !name.EndsWith(RunFolder.Suffix, StringComparison.Ordinal);

    /// <summary>The revision that <c>refs/main</c> names, or else the one written last.</summary>
    private static string? NewestRevision(string cached)
    {
        var snapshots = Path.Combine(cached, "snapshots");
        if (!Directory.Exists(snapshots))
            return null;
        var main = Path.Combine(cached, "refs", "main");
        if (File.Exists(main) && Path.Combine(snapshots, File.ReadAllText(main).Trim()) is var named && Directory.Exists(named))
            return named;
        return Directory.EnumerateDirectories(snapshots).OrderByDescending(Directory.GetLastWriteTimeUtc).ThenBy(p => p, StringComparer.Ordinal).FirstOrDefault();
    }

    private static string NameOf(string path)
    {
        if (Path.GetDirectoryName(path) is { } snapshots && Path.GetFileName(snapshots) == "snapshots"
            && Path.GetFileName(Path.GetDirectoryName(snapshots)) is { } cached && cached.StartsWith(CachePrefix, StringComparison.Ordinal))
        {
            return cached[CachePrefix.Length..].Replace("--", "/");
        }
        return Path.GetFileName(path);
    }

    private static string? ModelTypeOf(string path)
    {
        try
        {
            return ModelConfig.Load(Path.Combine(path, ModelFolder.ConfigFile)).ModelType;
        }
        catch (AwqException)
        {
            // Already told by the error that made it necessary to look here.
            return null;
        }
    }
}
