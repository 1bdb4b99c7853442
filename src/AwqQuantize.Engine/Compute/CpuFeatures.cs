using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace AwqQuantize.Engine.Compute;

/// <summary>What this processor can do that the runtime does not tell.</summary>
internal static class CpuFeatures
{
    /// <summary>
    /// Whether it multiplies bfloat16 by instructions of its own (AVX-512 BF16 or AMX, with AVX-512 as libtorch's libraries want it):
    /// several times as fast as float32 then.
    /// </summary>
    public static bool MultipliesBFloat16 { get; } = OfX86();

    private static bool OfX86()
    {
        // Intel's manual, CPUID: leaf 7 says with subleaf 0 in EDX bit 22 AMX-BF16, with subleaf 1 in EAX bit 5 AVX512_BF16.
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64 || !Avx512BW.IsSupported || !Avx512DQ.IsSupported || !Avx512F.VL.IsSupported)
            return false;
        var (last, _, _, edx) = X86Base.CpuId(7, 0);
        return (edx >> 22 & 1) != 0 || last >= 1 && (X86Base.CpuId(7, 1).Eax >> 5 & 1) != 0;
    }
}
