using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>A GPU of NVIDIA's. Products are computed in full float32: TensorFloat-32 would change which scales and codes are chosen.</summary>
internal sealed unsafe class CudaDevice : ComputeDevice
{
    private readonly int index;

    public CudaDevice(int index)
    {
        this.index = index;
        Torch = device($"cuda:{index}");
        backends.cuda.matmul.allow_tf32 = false;
        backends.cudnn.allow_tf32 = false;
    }

    public override string Name => $"cuda:{index}";

    public override Device Torch { get; }

    public override bool IsHost => false;

    /// <remarks>
    /// torch's allocator keeps what it once had; before it gives up it frees that and asks again, so memory that runs out needs no
    /// help from here. What it keeps does not count as free.
    /// </remarks>
    public override long FreeMemory
    {
        get
        {
            if (CudaRuntime.Export("cudaMemGetInfo") is not (not 0 and var address))
                return GpuDriver.Read() is { } gpus && index < gpus.Count ? gpus[index].FreeMemory : 0;
            nuint free = 0, total = 0;
            using var here = zeros(1, device: Torch); // makes this GPU's context the current one
            return ((delegate* unmanaged<nuint*, nuint*, int>)address)(&free, &total) == 0 ? (long)free : 0;
        }
    }

    public override void Synchronize() => cuda.synchronize();

    public override Tensor Upload(Tensor tensor)
    {
        if (tensor.device_type != DeviceType.CPU)
            return tensor;
        return tensor.to(Torch);
    }
}
