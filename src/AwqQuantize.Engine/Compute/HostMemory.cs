namespace AwqQuantize.Engine.Compute;

/// <summary>Memory of the machine, or of the container that the process runs in.</summary>
public static class HostMemory
{
    public static long Total => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Bytes that are free now, page cache included.</summary>
    public static long Free()
    {
        var memory = GC.GetGCMemoryInfo();
        var unloaded = memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes;
        return OperatingSystem.IsLinux() && ProcFile.Field("/proc/meminfo", "MemAvailable") is { } text && long.TryParse(text.Split(' ')[0], out var kilobytes)
            ? Math.Min(kilobytes << 10, memory.TotalAvailableMemoryBytes) : unloaded;
    }
}
