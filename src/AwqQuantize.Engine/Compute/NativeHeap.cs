using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Compute;

/// <summary>The heaps, which keep freed blocks unless they are told to give them back.</summary>
public static partial class NativeHeap
{
    /// <summary>Returns what is free in the runtime's heap and in the C library's; for the end of a part of the work that needs much.</summary>
    public static void Return()
    {
        GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        Trim();
    }

    /// <summary>Returns freed memory of the C library to the system. Does nothing where the C library has no such call.</summary>
    public static void Trim()
    {
        if (OperatingSystem.IsLinux() && !RuntimeInformation.RuntimeIdentifier.Contains("musl"))
            _ = malloc_trim(0);
    }

    [LibraryImport("libc")]
    private static partial int malloc_trim(nint pad);
}
