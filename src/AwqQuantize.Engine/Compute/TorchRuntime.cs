using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// Loads the native libraries of libtorch before TorchSharp looks for them: its own search prints a long trace and copies
/// half a gigabyte beside its assembly when it fails.
/// </summary>
public static partial class TorchRuntime
{
    private static readonly Lock Gate = new();
    private static bool loaded;

    /// <summary>Folder of the natives, absolute. An environment variable <c>AWQ_LIBTORCH</c> wins over the folder beside the module.</summary>
    public static string NativeDirectory =>
        Environment.GetEnvironmentVariable("AWQ_LIBTORCH") is { Length: > 0 } chosen ? chosen
        : AppContext.GetData("AwqQuantize.NativeDirectory") as string
        ?? Path.Combine(Path.GetDirectoryName(typeof(TorchRuntime).Assembly.Location)!, "dependencies", "runtimes",
            OperatingSystem.IsWindows() ? "win-x64" : "linux-x64", "native");

    /// <summary>Loads libtorch once. Must run before any use of TorchSharp.</summary>
    /// <exception cref="AwqException"><c>TorchBackendUnavailable</c>: the natives are missing or do not load.</exception>
    public static void EnsureLoaded()
    {
        lock (Gate)
        {
            if (loaded)
                return;
            // Threads of the matrix kernels that wait do so asleep: where other work runs beside, spinning costs more than waking up.
            if (!OperatingSystem.IsWindows() && Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is null)
                _ = setenv("OMP_WAIT_POLICY", "PASSIVE", 0);
            var file = Path.Combine(NativeDirectory, OperatingSystem.IsWindows() ? "LibTorchSharp.dll" : "libLibTorchSharp.so");
            try
            {
                NativeLibrary.Load(file);
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                throw new AwqException("TorchBackendUnavailable", AwqErrorKind.ResourceUnavailable,
                    $"libtorch could not be loaded from '{NativeDirectory}': {e.Message.Split('\n')[0]}",
                    "Build the module for this system, or set AWQ_LIBTORCH to the folder of a matching libtorch.", e);
            }
            loaded = true;
        }
    }

    // .NET's own environment is a copy that native libraries do not see.
    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);
}
