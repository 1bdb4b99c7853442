using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Compute;

/// <summary>Pages of mapped files.</summary>
public static unsafe partial class MappedPages
{
    private const int DontNeed = 4;

    /// <summary>Gives whole pages of a shared mapping back: the file keeps what they hold. Does nothing where the system has no such call.</summary>
    public static void Drop(void* start, long length)
    {
        if (!OperatingSystem.IsLinux())
            return;
        var page = (nuint)Environment.SystemPageSize;
        var first = ((nuint)start + page - 1) / page * page;
        var end = ((nuint)start + (nuint)length) / page * page;
        // Advice only: a refusal costs memory and nothing else.
        if (end > first)
            _ = Advise((void*)first, end - first, DontNeed);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);
}
