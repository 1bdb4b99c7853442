using System.Runtime.InteropServices;
using System.Text;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// What NVIDIA's driver says of its GPUs (NVML, which comes with the driver): it neither needs a CUDA libtorch nor takes memory on
/// a GPU, as CUDA's own questions do.
/// </summary>
internal static unsafe class GpuDriver
{
    private const int NameLength = 96;

    /// <summary>Model, bytes in all and bytes free, in the order of the bus; nothing where there is no driver.</summary>
    public static IReadOnlyList<(string Model, long Memory, long FreeMemory)> Read()
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

    private static List<(string Model, long Memory, long FreeMemory)> ReadAll(nint library)
    {
        var getHandle = (delegate* unmanaged<uint, nint*, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetHandleByIndex_v2");
        var getName = (delegate* unmanaged<nint, byte*, uint, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetName");
        var getMemory = (delegate* unmanaged<nint, MemoryInfo*, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetMemoryInfo");
        uint count = 0;
        if (((delegate* unmanaged<uint*, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetCount_v2"))(&count) != 0)
            return [];
        var found = new List<(string, long, long)>();
        var name = stackalloc byte[NameLength];
        for (var i = 0u; i < count; i++)
        {
            nint handle = 0;
            MemoryInfo memory = default;
            if (getHandle(i, &handle) == 0 && getName(handle, name, NameLength) == 0 && getMemory(handle, &memory) == 0)
                found.Add((Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name)), (long)memory.Total, (long)memory.Free));
        }
        return found;
    }

    private struct MemoryInfo
    {
        public ulong Total;
        public ulong Free;
        public ulong Used;
    }
}
