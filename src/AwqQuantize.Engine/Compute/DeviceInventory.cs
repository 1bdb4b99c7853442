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
        var (usable, reason) = Devices.CountGpus();
        var gpus = GpuDriver.Read();
        return
        [
            Processor(),
            .. gpus.Select((g, i) => new AwqDeviceInfo
            {
                Name = $"cuda:{i}", Model = g.Model, Memory = g.Memory, FreeMemory = g.FreeMemory, ComputeCapability = g.ComputeCapability,
                Reason = i < usable ? null : reason ?? "it is hidden from CUDA (CUDA_VISIBLE_DEVICES)",
            }),
            .. Enumerable.Range(gpus.Count, Math.Max(0, usable - gpus.Count)).Select(i => new AwqDeviceInfo { Name = $"cuda:{i}", Model = "CUDA device", Memory = 0, FreeMemory = 0 }),
        ];
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
