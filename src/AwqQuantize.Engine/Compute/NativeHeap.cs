using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Compute;

/// <summary>The heaps, which keep freed blocks unless they are told to give them back.</summary>
public static partial class NativeHeap
{
    private static long tidied;

    /// <summary>Returns what is free in the runtime's heap and in the C library's; for the end of a part of the work that needs much.</summary>
    public static void Return()
    {
        GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        Trim();
    }

    /// <summary>
    /// Collects short-lived objects once many were made since the last time. Left to itself, the runtime lets as many pile up as the
    /// processor's cache holds, which on a server is hundreds of megabytes.
    /// </summary>
    public static void Tidy()
    {
        const long Many = 32L << 20;
        var made = GC.GetTotalAllocatedBytes();
        var before = Interlocked.Read(ref tidied);
        if (made - before >= Many && Interlocked.CompareExchange(ref tidied, made, before) == before)
            GC.Collect(0, GCCollectionMode.Forced, blocking: true);
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
