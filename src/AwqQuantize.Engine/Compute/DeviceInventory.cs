using System.Runtime.Intrinsics.X86;
using TorchSharp;

namespace AwqQuantize.Engine.Compute;

/// <summary>What this machine has to compute on.</summary>
public static class DeviceInventory
{
    /// <summary>The CPU, then the GPUs: those that libtorch can use, and those that only the driver knows, with the reason.</summary>
    /// <exception cref="AwqException"><c>TorchBackendUnavailable</c>.</exception>
    public static IReadOnlyList<AwqDeviceInfo> Read()
    {
        TorchRuntime.EnsureLoaded();
        var usable = torch.cuda.is_available() ? torch.cuda.device_count() : 0;
        var gpus = GpuDriver.Read();
        return
        [
            Processor(),
            .. gpus.Select((g, i) => new AwqDeviceInfo
            {
                Name = $"cuda:{i}", Model = g.Model, Memory = g.Memory, FreeMemory = g.FreeMemory,
                Reason = i < usable ? null : "this libtorch cannot use it: build the module with TorchBackend=cuda-linux or cuda-windows",
            }),
            .. Enumerable.Range(gpus.Count, Math.Max(0, usable - gpus.Count)).Select(i => new AwqDeviceInfo { Name = $"cuda:{i}", Model = "CUDA device", Memory = 0, FreeMemory = 0 }),
        ];
    }

    private static AwqDeviceInfo Processor()
    {
        var memory = GC.GetGCMemoryInfo();
        var vectors = Avx512F.IsSupported ? "AVX-512" : Avx2.IsSupported ? "AVX2" : "portable vectors";
        return new AwqDeviceInfo
        {
            Name = "cpu", Model = $"{ProcessorName()}, {Environment.ProcessorCount} cores, {vectors}",
            Memory = memory.TotalAvailableMemoryBytes, FreeMemory = FreeMemory() ?? memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes,
        };
    }

    private static string ProcessorName() => OperatingSystem.IsLinux() ? FieldOf("/proc/cpuinfo", "model name") ?? "CPU"
        : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "CPU";

    private static long? FreeMemory() =>
        OperatingSystem.IsLinux() && FieldOf("/proc/meminfo", "MemAvailable") is { } text && long.TryParse(text.Split(' ')[0], out var kilobytes) ? kilobytes << 10 : null;

    private static string? FieldOf(string file, string key) =>
        File.Exists(file) ? File.ReadLines(file).FirstOrDefault(l => l.StartsWith(key, StringComparison.Ordinal))?.Split(':', 2)[1].Trim() : null;
}
