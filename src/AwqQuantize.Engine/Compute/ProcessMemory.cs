using System.Diagnostics;
using System.Globalization;

namespace AwqQuantize.Engine.Compute;

/// <summary>Resident memory of this process.</summary>
public static class ProcessMemory
{
    private const string Reset = "/proc/self/clear_refs";

    /// <summary>Bytes resident now.</summary>
    public static long Resident => Environment.WorkingSet;

    /// <summary>Bytes that this process can have in all: what it holds, and what is free, within the limit of a container.</summary>
    public static long Available
    {
        get
        {
            var most = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
            return Field("/proc/meminfo", "MemAvailable:") is { } free ? Math.Min(most, free + Resident) : most;
        }
    }

    /// <summary>Most bytes that were resident since <see cref="ResetPeak"/>, or since the process began where that is not possible.</summary>
    public static long Peak
    {
        get
        {
            if (Field("/proc/self/status", "VmHWM:") is { } peak)
                return peak;
            using var process = Process.GetCurrentProcess();
            return process.PeakWorkingSet64;
        }
    }

    /// <summary>Begins the peak anew at what is resident now. Returns false where the system does not allow that.</summary>
    public static bool ResetPeak()
    {
        try
        {
            if (!OperatingSystem.IsLinux())
                return false;
            File.WriteAllText(Reset, "5"); // proc(5)
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Some containers mount it read-only; the peak is then that of the process's life.
            return false;
        }
    }

    /// <summary>Bytes of a field that the kernel gives in kB; null where there is none.</summary>
    private static long? Field(string file, string name) =>
        OperatingSystem.IsLinux() && File.ReadLines(file).FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal)) is { } line
            ? long.Parse(line[name.Length..].Trim().Split(' ')[0], CultureInfo.InvariantCulture) << 10 : null;
}
