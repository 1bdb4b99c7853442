using System.Runtime.InteropServices;
using System.Text;

namespace AwqQuantize.Engine.Compute;

/// <summary>A GPU as its driver describes it.</summary>
/// <param name="ComputeCapability">NVIDIA's number of what it can do, e.g. 9.0; null where an old driver does not say.</param>
/// <param name="DriverCuda">Newest CUDA that the driver runs, e.g. 12.8.</param>
internal sealed record GpuDescription(string Model, long Memory, long FreeMemory, Version? ComputeCapability, Version? DriverCuda);

/// <summary>
/// What NVIDIA's driver says of its GPUs (NVML, which comes with the driver): it neither needs a CUDA libtorch nor takes memory on
/// a GPU, as CUDA's own questions do.
/// </summary>
internal static unsafe class GpuDriver
{
    private const int NameLength = 96;

    /// <summary>In the order of the bus; nothing where there is no driver.</summary>
    public static IReadOnlyList<GpuDescription> Read()
    {
        if (!NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvml.dll" : "libnvidia-ml.so.1", out var library))
            return [];
        try
        {
            if (((delegate* unmanaged<int>)NativeLibrary.GetExport(library, "nvmlInit_v2"))() != 0)
                return [];
            try
            {
                return ReadAll(library);
            }
            finally
            {
                _ = ((delegate* unmanaged<int>)NativeLibrary.GetExport(library, "nvmlShutdown"))();
            }
        }
        finally
        {
            NativeLibrary.Free(library);
        }
    }

    private static List<GpuDescription> ReadAll(nint library)
    {
        var getHandle = (delegate* unmanaged<uint, nint*, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetHandleByIndex_v2");
        var getName = (delegate* unmanaged<nint, byte*, uint, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetName");
        var getMemory = (delegate* unmanaged<nint, MemoryInfo*, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetMemoryInfo");
        uint count = 0;
        if (((delegate* unmanaged<uint*, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetCount_v2"))(&count) != 0)
            return [];
        var cuda = CudaOfDriver(library);
        var found = new List<GpuDescription>();
        var name = stackalloc byte[NameLength];
        for (var i = 0u; i < count; i++)
        {
            nint handle = 0;
            MemoryInfo memory = default;
            if (getHandle(i, &handle) == 0 && getName(handle, name, NameLength) == 0 && getMemory(handle, &memory) == 0)
                found.Add(new GpuDescription(Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name)),
                    (long)memory.Total, (long)memory.Free, Capability(library, handle), cuda));
        }
        return found;
    }

    private static Version? Capability(nint library, nint handle)
    {
        int major = 0, minor = 0;
        return NativeLibrary.TryGetExport(library, "nvmlDeviceGetCudaComputeCapability", out var get)
            && ((delegate* unmanaged<nint, int*, int*, int>)get)(handle, &major, &minor) == 0 ? new Version(major, minor) : null;
    }

    private static Version? CudaOfDriver(nint library)
    {
        var number = 0;
        return NativeLibrary.TryGetExport(library, "nvmlSystemGetCudaDriverVersion_v2", out var get)
            && ((delegate* unmanaged<int*, int>)get)(&number) == 0 ? new Version(number / 1000, number % 1000 / 10) : null;
    }

    private struct MemoryInfo
    {
        public ulong Total;
        public ulong Free;
        public ulong Used;
    }
}
