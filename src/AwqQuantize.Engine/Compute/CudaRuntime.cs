using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Compute;

/// <summary>CUDA's own library, which comes along with libtorch's CUDA half; never loaded by anything but a GPU that is asked for.</summary>
internal static class CudaRuntime
{
    private static readonly Lock Gate = new();
    private static nint library;

    /// <summary>Loads the CUDA half of libtorch.</summary>
    /// <returns>Why it does not load; null where it did.</returns>
    public static string? TryLoad()
    {
        lock (Gate)
        {
            if (library != 0)
                return null;
            var file = Path.Combine(TorchRuntime.Library.Folder, OperatingSystem.IsWindows() ? "torch_cuda.dll" : "libtorch_cuda.so");
            if (!File.Exists(file))
                return $"the libtorch in '{TorchRuntime.Library.Folder}' is built for the CPU alone";
            try
            {
                library = NativeLibrary.Load(file);
                return null;
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                return $"'{file}' does not load: {e.Message.Split('\n')[0]}";
            }
        }
    }

    /// <summary>Address of one of CUDA's functions, found through what libtorch itself has loaded; 0 where it is not.</summary>
    public static nint Export(string name)
    {
        lock (Gate)
            return library != 0 && NativeLibrary.TryGetExport(library, name, out var address) ? address : 0;
    }
}
