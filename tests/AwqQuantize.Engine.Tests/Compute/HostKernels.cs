using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>
/// The very source that NVRTC compiles for a GPU, made by the host's C++ compiler into functions that are called once for each
/// row or group. What it computes, and in what order arguments are handed over, is tested so; that a GPU runs it is not.
/// </summary>
internal sealed unsafe class HostKernels : RoundingKernels
{
    private const string Compiler = "g++";

    private const string Before = """
        #include <math.h>
        #include <string.h>
        #define __global__
        #define __device__
        #define LANES 1
        #define __shfl_sync(mask, value, lane) (value)
        #define __shfl_xor_sync(mask, value, lane) (value)
        struct dimension { unsigned int x; };
        static thread_local dimension blockIdx, blockDim = {1}, threadIdx;
        static inline unsigned int __float_as_uint(float f) { unsigned int u; memcpy(&u, &f, 4); return u; }
        static inline float __uint_as_float(unsigned int u) { float f; memcpy(&f, &u, 4); return f; }

        """;

    // The types of the arguments once more: the same packing that CUDA's driver takes apart by the compiled code's own list.
    private const string After = """

        #define P(i) (*(float**)a[i])
        #define I(i) (*(int*)a[i])
        #define L(i) (*(long long*)a[i])
        #define EACH(call) for (long long t = 0; t < pieces; t++) { blockIdx.x = (unsigned int)t; call; }
        extern "C" void launch_fit(long long pieces, void** a) { EACH(fit(P(0), P(1), L(2), I(3), I(4), P(5), P(6))) }
        extern "C" void launch_compensate(long long pieces, void** a) { EACH(compensate(P(0), P(1), P(2), I(3), P(4), P(5), P(6), L(7), I(8), L(9), P(10), P(11), P(12))) }
        extern "C" void launch_descend(long long pieces, void** a) { EACH(descend(P(0), P(1), L(2), P(3), L(4), P(5), P(6), L(7), P(8), I(9), L(10), I(11), P(12), *(double**)a[13])) }
        """;

    private static readonly Lazy<nint> Library = new(Build);

    private HostKernels()
    {
    }

    /// <summary>Skips the test where there is no compiler.</summary>
    public static HostKernels Require()
    {
        if (Library.Value == 0)
            Assert.Skip($"{Compiler} is not there");
        return new HostKernels();
    }

    protected override void Launch(string name, long pieces, void** arguments) =>
        ((delegate* unmanaged<long, void**, void>)NativeLibrary.GetExport(Library.Value, "launch_" + name))(pieces, arguments);

    private static nint Build()
    {
        var folder = Directory.CreateTempSubdirectory("awq-kernels-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "kernels.cpp"), Before + Source + After);
            var start = new ProcessStartInfo(Compiler, ["-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o", Path.Combine(folder, "kernels.so"), Path.Combine(folder, "kernels.cpp")]) { RedirectStandardError = true };
            using var compiler = Process.Start(start)!;
            var errors = compiler.StandardError.ReadToEnd();
            compiler.WaitForExit();
            return compiler.ExitCode == 0 ? NativeLibrary.Load(Path.Combine(folder, "kernels.so")) : throw new InvalidOperationException(errors);
        }
        catch (Win32Exception)
        {
            return 0;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
