using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Compute;

/// <summary>Recognises the errors that mean that memory ran out; libtorch has one exception for everything.</summary>
public static partial class OutOfMemory
{
    private static readonly string[] Signs =
    [
        "can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory", "failed to allocate", "unable to allocate",
        "CUBLAS_STATUS_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
        "std::bad_alloc", "bad allocation", // the C++ runtimes
        "dnnl_out_of_memory", "could not create a memory", "could not initiate a memory", // oneDNN
        "mkl_malloc", "MKL_ALLOC", // MKL
    ];

    private static readonly string[] DeviceSigns = ["CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED"];

    public static bool Is(Exception e) => e is OutOfMemoryException or DeviceMemoryExhaustedException
        || e is ExternalException && FirstLine(e) is var line && Signs.Any(s => line.Contains(s, StringComparison.OrdinalIgnoreCase));

    /// <summary>Whether it was a device's own memory, not the host's.</summary>
    public static bool OnDevice(Exception e) => e is DeviceMemoryExhaustedException
        || e is ExternalException && FirstLine(e) is var line && DeviceSigns.Any(s => line.Contains(s, StringComparison.OrdinalIgnoreCase));

    /// <summary>What libtorch says, without what it then says of the state of its allocator.</summary>
    public static string Reason(Exception e)
    {
        var line = FirstLine(e);
        return Request().Match(line) is { Success: true } match ? match.Value : line;
    }

    /// <summary>What libtorch says in its first line; the rest is a native stack.</summary>
    public static string FirstLine(Exception e) => e.Message.Split('\n', 2)[0].Trim();

    [GeneratedRegex(@"^.*?out of memory\. Tried to allocate [\d.]+ \w+", RegexOptions.IgnoreCase)]
    private static partial Regex Request();
}
