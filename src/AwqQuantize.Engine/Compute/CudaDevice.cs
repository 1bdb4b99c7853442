using System.Collections.Concurrent;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// A GPU of NVIDIA's. Forwards of wide models are computed in bfloat16 where it has units for that, with sums in float32; everything that decides
/// in full float32: TensorFloat-32 would change which scales and codes are chosen.
/// </summary>
internal sealed class CudaDevice : ComputeDevice
{
    private static readonly Version Ampere = new(8, 0); // the first with bfloat16

    private const int WidthForHalf = 2048, WidthForHalfGradients = 512;

    private static readonly ConcurrentDictionary<int, CudaDevice> Opened = [];

    private readonly int index;
    private readonly long freeAtFirst;
    private readonly Version? capability;
    private long peak;

    private CudaDevice(int index)
    {
        this.index = index;
        Torch = device($"cuda:{index}");
        backends.cuda.matmul.allow_tf32 = false;
        backends.cudnn.allow_tf32 = false;
        backends.cuda.matmul.allow_fp16_reduced_precision_reduction = false;
        freeAtFirst = FreeMemory;
        capability = GpuDriver.Of(CudaRuntime.BusId(index))?.ComputeCapability;
    }

    /// <summary>One object for each GPU: it remembers how much of its memory was taken.</summary>
    public static CudaDevice Get(int index) => Opened.GetOrAdd(index, i => new CudaDevice(i));

    public override string Name => $"cuda:{index}";

    public override Device Torch { get; }

    public override bool IsHost => false;

    /// <remarks>Small models are not held up by their products: float32 costs them nothing, and gives the CPU's choices.</remarks>
    public override ScalarType ForwardType(int width) => capability >= Ampere && width >= WidthForHalf ? ScalarType.BFloat16 : ScalarType.Float32;

    /// <remarks>Nothing is chosen by them.</remarks>
    public override ScalarType GradientType(int width) => capability >= Ampere && width >= WidthForHalfGradients ? ScalarType.BFloat16 : ScalarType.Float32;

    internal override bool AddGram(Tensor gram, Tensor x) => CudaBlas.AddGram(index, gram, x);

    /// <remarks>
    /// torch's allocator keeps what it once had; before it gives up it frees that and asks again, so memory that runs out needs no
    /// help from here. What it keeps does not count as free.
    /// </remarks>
    public override long FreeMemory => CudaRuntime.Memory(index)?.Free ?? GpuDriver.Of(CudaRuntime.BusId(index))?.FreeMemory ?? 0;

    /// <remarks>What is gone from the GPU's memory since it was opened, at the ends of stages: torch's allocator keeps what it had, so that is its peak.</remarks>
    public override long PeakMemory => Math.Max(peak, freeAtFirst - FreeMemory);

    /// <remarks>Kernels are loaded when they are first needed, and cuBLAS and cuSOLVER have rooms of their own: measured on an H200 with a tiny model.</remarks>
    public override long Overhead => 350L << 20;

    /// <remarks>Pages of CUDA's libraries and of what they keep: measured on an H200 with models of 0.1 and 2 billion weights.</remarks>
    public override long HostOverhead => 1150L << 20;

    public override IDisposable Reserve(long bytes) => new Stage(this);

    public override IDisposable? Pin(Tensor host) => TensorMemory.Address(host) is var address && address != 0
        ? CudaRuntime.Pin(index, address, host.numel() * host.element_size()) : null;

    internal override IRoundingKernels? Kernels(out string? reason) => CudaKernels.TryCreate(index, capability, out reason);

    public override void Synchronize() => cuda.synchronize(Torch);

    public override Tensor Upload(Tensor tensor) => tensor.to(Torch, non_blocking: true);

    private sealed class Stage(CudaDevice gpu) : IDisposable
    {
        public void Dispose() => gpu.peak = gpu.PeakMemory;
    }
}
