using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>Raw memory of tensors, for the fused element-wise loops.</summary>
public static unsafe partial class TensorMemory
{
    [LibraryImport("LibTorchSharp")]
    private static partial nint THSTensor_data(nint tensor);

    /// <summary>The elements of a contiguous float32 tensor in host memory. Valid while the tensor lives.</summary>
    public static float* Floats(Tensor tensor)
    {
        if (tensor.dtype != ScalarType.Float32 || tensor.device_type != DeviceType.CPU || !tensor.is_contiguous())
            throw new ArgumentException($"A contiguous float32 tensor in host memory is needed, not {tensor.dtype} on {tensor.device_type}.");
        return (float*)THSTensor_data(tensor.Handle);
    }

    /// <summary>The elements of a contiguous uint8 tensor in host memory. Valid while the tensor lives.</summary>
    public static ReadOnlySpan<byte> Bytes(Tensor tensor)
    {
        if (tensor.dtype != ScalarType.Byte || tensor.device_type != DeviceType.CPU || !tensor.is_contiguous())
            throw new ArgumentException($"A contiguous uint8 tensor in host memory is needed, not {tensor.dtype} on {tensor.device_type}.");
        return new ReadOnlySpan<byte>((void*)THSTensor_data(tensor.Handle), checked((int)tensor.numel()));
    }

    /// <summary>The elements of a contiguous int64 tensor in host memory. Valid while the tensor lives.</summary>
    public static long* Longs(Tensor tensor)
    {
        if (tensor.dtype != ScalarType.Int64 || tensor.device_type != DeviceType.CPU || !tensor.is_contiguous())
            throw new ArgumentException($"A contiguous int64 tensor in host memory is needed, not {tensor.dtype} on {tensor.device_type}.");
        return (long*)THSTensor_data(tensor.Handle);
    }
}
