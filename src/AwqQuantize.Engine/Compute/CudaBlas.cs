using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// The one product that torch has no operation for: bfloat16 in, float32 out, added to what is there. It comes from cuBLAS, which
/// libtorch has loaded; an H100 makes it fifteen times as fast as the float32 product.
/// </summary>
internal static unsafe class CudaBlas
{
    // Columns of a tile of the upper triangle: large enough for the units' peak, small enough to skip most of the other half.
    private const long Tile = 2048;

    // cublasOperation_t, cudaDataType_t, cublasComputeType_t and cublasGemmAlgo_t.
    private const int AsItIs = 0, Transposed = 1, Float32 = 0, BFloat16 = 14, ComputeFloat32 = 68, AnyAlgorithm = -1;
    private const int AllocationFailed = 3;

    private static readonly Lock Gate = new();
    private static readonly Dictionary<int, nint> Handles = [];

    /// <summary>See <see cref="ComputeDevice.AddGram"/>.</summary>
    /// <exception cref="DeviceMemoryExhaustedException">cuBLAS has no memory left for itself.</exception>
    public static bool AddGram(int gpu, Tensor gram, Tensor x)
    {
        if (x.dtype != ScalarType.BFloat16 || !x.is_contiguous() || !gram.is_contiguous() || CudaRuntime.Export("cublasGemmEx") is not (not 0 and var address))
            return false;
        using var here = CudaRuntime.On(gpu);
        if (Handle(gpu) is not { } handle)
            return false;
        var gemm = (delegate* unmanaged<nint, int, int, int, int, int, float*, nint, int, int, nint, int, int, float*, nint, int, int, int, int, int>)address;
        var (tokens, channels, one) = (checked((int)x.shape[0]), checked((int)x.shape[1]), 1f);
        nint inputs = TensorMemory.Pointer(x), sums = TensorMemory.Pointer(gram);
        for (long from = 0; from < channels; from += Tile)
        {
            // cuBLAS counts columns first: its rows are our columns from..channels, its columns our rows from..from + width.
            var (left, width) = ((int)(channels - from), (int)Math.Min(Tile, channels - from));
            var part = inputs + (nint)from * sizeof(ushort);
            Check(gemm(handle, AsItIs, Transposed, left, width, tokens, &one, part, BFloat16, channels, part, BFloat16, channels, &one,
                sums + (nint)(from * channels + from) * sizeof(float), Float32, channels, ComputeFloat32, AnyAlgorithm));
        }
        return true;
    }

    /// <summary>One for each GPU, for as long as the process lives; it works in the default stream, as torch does here.</summary>
    private static nint? Handle(int gpu)
    {
        lock (Gate)
        {
            if (Handles.TryGetValue(gpu, out var handle))
                return handle;
            if (CudaRuntime.Export("cublasCreate_v2") is not (not 0 and var create))
                return null;
            Check(((delegate* unmanaged<nint*, int>)create)(&handle));
            Handles.Add(gpu, handle);
            return handle;
        }
    }

    private static void Check(int status)
    {
        if (status == AllocationFailed)
            throw new DeviceMemoryExhaustedException("cuBLAS has no memory left on the GPU");
        if (status != 0)
            throw new ExternalException($"cuBLAS fails with status {status}.");
    }
}
