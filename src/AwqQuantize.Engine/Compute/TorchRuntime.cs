using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// Loads the native libraries of libtorch before TorchSharp looks for them: its own search prints a long trace and copies
/// half a gigabyte beside its assembly when it fails.
/// </summary>
public static partial class TorchRuntime
{
    /// <summary>Names another libtorch than the module's own.</summary>
    public const string PathVariable = "AWQ_LIBTORCH";

    private static readonly string[] AllocatorVariables = ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"];

    private static readonly Lock Gate = new();
    private static TorchLibrary? library;
    private static bool loaded;

    /// <summary>Whether a GPU was asked for in this process. Before that, nobody gets libtorch's CUDA half: TorchSharp looks for it even for the CPU.</summary>
    public static bool IsCudaWanted { get; internal set; }

    /// <summary>Folder of the module's own natives, absolute.</summary>
    public static string NativeDirectory { get; } =
        AppContext.GetData("AwqQuantize.NativeDirectory") as string
        ?? Path.Combine(Path.GetDirectoryName(typeof(TorchRuntime).Assembly.Location)!, "dependencies", "runtimes",
            OperatingSystem.IsWindows() ? "win-x64" : "linux-x64", "native");

    /// <summary>The libtorch that is, or will be, loaded: the one chosen, the one that <c>AWQ_LIBTORCH</c> names, or the module's own.</summary>
    /// <exception cref="AwqException"><c>TorchLibraryMissing</c>, <c>TorchLibraryMismatch</c>.</exception>
    public static TorchLibrary Library
    {
        get
        {
            lock (Gate)
                return library ??= Environment.GetEnvironmentVariable(PathVariable) is { Length: > 0 } named
                    ? TorchLibrary.Find(named) : new TorchLibrary(NativeDirectory, null);
        }
    }

    /// <summary>Chooses another libtorch for this process. Once one is loaded, it can only be the same.</summary>
    /// <param name="path">As <see cref="TorchLibrary.Find"/> takes it.</param>
    /// <exception cref="AwqException"><c>TorchLibraryMissing</c>, <c>TorchLibraryMismatch</c>, <c>TorchLibraryLoaded</c>.</exception>
    public static void Use(string path)
    {
        var wanted = TorchLibrary.Find(path);
        lock (Gate)
        {
            if (loaded && Library.Folder != wanted.Folder)
                throw new AwqException("TorchLibraryLoaded", AwqErrorKind.ResourceUnavailable,
                    $"This process has loaded the libtorch in '{Library.Folder}' already; a process can hold only one.", $"Start a new session, and give '{path}' to its first command.");
            library = wanted;
        }
    }

    /// <summary>Loads libtorch once. Must run before any use of TorchSharp.</summary>
    /// <param name="cpuAlone">
    /// Whether its CUDA half stays out. If not it comes along, where there is one, also for work of the CPU: torch remembers whether
    /// it was there at its first question, and later commands of the session may want a GPU.
    /// </param>
    /// <exception cref="AwqException">
    /// <c>TorchBackendUnavailable</c>: the natives are missing or do not load; <c>TorchLibraryMissing</c>, <c>TorchLibraryMismatch</c>.
    /// </exception>
    public static void EnsureLoaded(bool cpuAlone = false)
    {
        if (Load() && !cpuAlone && CudaRuntime.IsThere)
            CudaRuntime.TryLoad(); // why it does not load is said where a GPU is asked for
    }

    /// <returns>Whether it was not loaded before.</returns>
    private static bool Load()
    {
        lock (Gate)
        {
            if (loaded)
                return false;
            // Threads of the matrix kernels that wait do so asleep: where other work runs beside, spinning costs more than waking up.
            if (!OperatingSystem.IsWindows() && Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is null)
                _ = setenv("OMP_WAIT_POLICY", "PASSIVE", 0);
            var chosen = Library;
            try
            {
                // What is loaded already is not looked for again: libLibTorchSharp, which lies beside the module's own libtorch, binds to these.
                foreach (var file in chosen.Files)
                    NativeLibrary.Load(file);
                NativeLibrary.Load(Bridge(chosen));
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                throw new AwqException("TorchBackendUnavailable", AwqErrorKind.ResourceUnavailable,
                    $"libtorch could not be loaded from '{chosen.Folder}': {e.Message.Split('\n')[0]}",
                    $"Build the module for this system, or set {PathVariable} to the folder of a libtorch of version {TorchLibrary.NeededVersion}.", e);
            }
            return loaded = true;
        }
    }

    /// <summary>What has to be said before libtorch's CUDA half is loaded.</summary>
    internal static void PrepareCuda()
    {
        // Stages of a layer ask for pieces of many sizes: in segments that grow they leave no holes.
        if (!OperatingSystem.IsWindows() && AllocatorVariables.All(v => Environment.GetEnvironmentVariable(v) is null))
            _ = setenv(AllocatorVariables[0], "expandable_segments:True", 0);
    }

    /// <summary>TorchSharp's own library, from the chosen folder if it lies there, else the module's.</summary>
    private static string Bridge(TorchLibrary chosen) =>
        Path.Combine(chosen.Folder, TorchLibrary.Bridge) is var beside && File.Exists(beside) ? beside : Path.Combine(NativeDirectory, TorchLibrary.Bridge);

    // .NET's own environment is a copy that native libraries do not see.
    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);
}
