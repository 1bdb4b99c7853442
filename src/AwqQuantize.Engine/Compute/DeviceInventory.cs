using System.Runtime.Intrinsics.X86;

namespace AwqQuantize.Engine.Compute;

/// <summary>What this machine has to compute on.</summary>
public static class DeviceInventory
{
    /// <summary>The CPU, then the GPUs: those that libtorch can use, and those that only the driver knows, with the reason.</summary>
    /// <exception cref="AwqException"><c>TorchBackendUnavailable</c>.</exception>
    public static IReadOnlyList<AwqDeviceInfo> Read()
    {
        TorchRuntime.EnsureLoaded();
        var (usable, problem) = Devices.CountGpus();
        return [Processor(), .. Gpus(GpuDriver.Read(), [.. Enumerable.Range(0, usable).Select(CudaRuntime.BusId)], problem)];
    }

    /// <summary>
    /// The GPUs that CUDA counts, by its numbers, and after them those that only the driver knows: their order may differ, and
    /// CUDA_VISIBLE_DEVICES hides some.
    /// </summary>
    /// <param name="known">By the driver.</param>
    /// <param name="counted">Bus id of each GPU that CUDA counts; null where it does not say.</param>
    /// <param name="problem">Why CUDA counts none.</param>
    internal static IEnumerable<AwqDeviceInfo> Gpus(IReadOnlyList<GpuDescription> known, IReadOnlyList<string?> counted, CudaProblem? problem)
    {
        var left = known.ToList();
        for (var i = 0; i < counted.Count; i++)
        {
            var gpu = counted[i] is { } bus ? left.Find(g => g.SitsAt(bus)) : left.Count == counted.Count - i ? left[0] : null;
            if (gpu is not null)
                left.Remove(gpu);
            yield return new AwqDeviceInfo
            {
                Name = $"cuda:{i}", Model = gpu?.Model ?? "CUDA device", Memory = gpu?.Memory ?? 0, FreeMemory = gpu?.FreeMemory ?? 0, ComputeCapability = gpu?.ComputeCapability,
            };
        }
        // What CUDA does not count has no number of CUDA's.
        for (var i = 0; i < left.Count; i++)
            yield return new AwqDeviceInfo
            {
                Name = counted.Count == 0 ? $"cuda:{i}" : $"gpu at {left[i].BusId}", Model = left[i].Model, Memory = left[i].Memory, FreeMemory = left[i].FreeMemory, ComputeCapability = left[i].ComputeCapability,
                Reason = problem is null ? "it is hidden from CUDA (CUDA_VISIBLE_DEVICES)" : $"{problem.Reason}. {problem.Remedy}",
            };
    }

    private static AwqDeviceInfo Processor()
    {
        var vectors = Avx512F.IsSupported ? "AVX-512" : Avx2.IsSupported ? "AVX2" : "portable vectors";
        return new AwqDeviceInfo
        {
            Name = "cpu", Model = $"{ProcessorName()}, {Environment.ProcessorCount} cores, {vectors}",
            Memory = HostMemory.Total, FreeMemory = HostMemory.Free(),
        };
    }

    private static string ProcessorName() => OperatingSystem.IsLinux() ? ProcFile.Field("/proc/cpuinfo", "model name") ?? "CPU"
        : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "CPU";
}
