using System.Runtime.InteropServices;
using System.Text;

namespace AwqQuantize.Engine.Compute;

/// <summary>CUDA's own library, which comes along with libtorch's CUDA half; never loaded by anything but a GPU that is asked for.</summary>
internal static unsafe class CudaRuntime
{
    private const uint RegisterPortable = 1; // cudaHostRegisterPortable: pinned for every GPU

    private static readonly Lock Gate = new();
    private static nint library;

    private static string Half => Path.Combine(TorchRuntime.Library.Folder, OperatingSystem.IsWindows() ? "torch_cuda.dll" : "libtorch_cuda.so");

    /// <summary>Whether the libtorch has a CUDA half.</summary>
    public static bool IsThere => File.Exists(Half);

    /// <summary>Loads the CUDA half of libtorch.</summary>
    /// <returns>Why it does not load; null where it did.</returns>
    public static CudaProblem? TryLoad()
    {
        lock (Gate)
        {
            if (library != 0)
                return null;
            var file = Half;
            if (!File.Exists(file))
                return CudaProblem.CpuOnly(TorchRuntime.Library.Folder);
            TorchRuntime.IsCudaWanted = true;
            TorchRuntime.PrepareCuda();
            try
            {
                library = NativeLibrary.Load(file);
                return null;
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                return CudaProblem.DoesNotLoad(file, e.Message);
            }
        }
    }

    /// <summary>What CUDA itself says when it is asked for its GPUs; null where it counts some, or is not loaded.</summary>
    public static string? CountingError()
    {
        var count = 0;
        if (Export("cudaGetDeviceCount") is not (not 0 and var address))
            return null;
        var code = ((delegate* unmanaged<int*, int>)address)(&count);
        if (code == 0)
            return count > 0 ? null : "no CUDA-capable device is detected";
        Clear();
        return Export("cudaGetErrorString") is not 0 and var text
            ? Marshal.PtrToStringUTF8(((delegate* unmanaged<int, nint>)text)(code)) : $"error {code}";
    }

    /// <summary>Bytes of a GPU that are free, and that it has; null where CUDA does not say.</summary>
    public static (long Free, long Total)? Memory(int gpu)
    {
        if (Export("cudaMemGetInfo") is not (not 0 and var address))
            return null;
        nuint free = 0, total = 0;
        // The question is about the calling thread's GPU, and torch minds which that is.
        using (On(gpu))
            return ((delegate* unmanaged<nuint*, nuint*, int>)address)(&free, &total) == 0 ? ((long)free, (long)total) : null;
    }

    /// <summary>Where a GPU sits, e.g. <c>0000:3B:00.0</c>; null where CUDA does not say.</summary>
    public static string? BusId(int gpu)
    {
        const int Length = 32;
        var text = stackalloc byte[Length];
        return Export("cudaDeviceGetPCIBusId") is not 0 and var address && ((delegate* unmanaged<byte*, int, int, int>)address)(text, Length, gpu) == 0
            ? Encoding.ASCII.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text)) : null;
    }

    /// <summary>Fixes host memory where it is, so that a GPU reads it at full speed and while the host goes on.</summary>
    /// <returns>Ends it; null where the system does not allow it.</returns>
    public static IDisposable? Pin(int gpu, nint address, long bytes)
    {
        if (Export("cudaHostRegister") is not (not 0 and var register))
            return null;
        using (On(gpu))
        {
            if (((delegate* unmanaged<nint, nuint, uint, int>)register)(address, (nuint)bytes, RegisterPortable) == 0)
                return new Pinned(address);
            Clear(); // torch would take the error for one of its own
            return null;
        }
    }

    /// <summary>Address of one of CUDA's functions, found through what libtorch itself has loaded; 0 where it is not.</summary>
    public static nint Export(string name)
    {
        lock (Gate)
            return library != 0 && NativeLibrary.TryGetExport(library, name, out var address) ? address : 0;
    }

    /// <summary>Makes a GPU the calling thread's until the result is disposed.</summary>
    public static Current On(int gpu)
    {
        int before = 0;
        if (Export("cudaGetDevice") is not 0 and var get && Export("cudaSetDevice") is not 0 and var set && ((delegate* unmanaged<int*, int>)get)(&before) == 0)
            _ = ((delegate* unmanaged<int, int>)set)(gpu);
        return new Current(before);
    }

    private static void Clear()
    {
        if (Export("cudaGetLastError") is not 0 and var address)
            _ = ((delegate* unmanaged<int>)address)();
    }

    public readonly struct Current(int before) : IDisposable
    {
        public void Dispose()
        {
            if (Export("cudaSetDevice") is not 0 and var set)
                _ = ((delegate* unmanaged<int, int>)set)(before);
        }
    }

    private sealed class Pinned(nint address) : IDisposable
    {
        private nint held = address;

        public void Dispose()
        {
            if (held != 0 && Export("cudaHostUnregister") is not 0 and var unregister)
                _ = ((delegate* unmanaged<nint, int>)unregister)(held);
            held = 0;
        }
    }
}
