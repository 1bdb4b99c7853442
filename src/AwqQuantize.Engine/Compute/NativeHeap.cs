using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Compute;

/// <summary>The C library's heap, which keeps freed blocks unless it is told to give them back.</summary>
public static partial class NativeHeap
{
    /// <summary>Returns freed memory to the system. Does nothing where the C library has no such call.</summary>
    public static void Trim()
    {
        if (OperatingSystem.IsLinux() && !RuntimeInformation.RuntimeIdentifier.Contains("musl"))
            _ = malloc_trim(0);
    }

    [LibraryImport("libc")]
    private static partial int malloc_trim(nint pad);
}
