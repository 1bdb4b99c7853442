using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// Where a layer is worked on. Nothing outside of this room asks what kind of device it is, only what it can do: whether its memory
/// is the host's, and how much is free. A device of tests computes on the CPU behind a memory limit of its own, so that everything
/// that happens on a GPU that is too small happens in tests.
/// </summary>
public abstract class ComputeDevice
{
    /// <summary>The CPU, with the host's memory.</summary>
    public static ComputeDevice Host { get; } = new HostDevice();

    /// <summary>As <c>-Device</c> takes it.</summary>
    public abstract string Name { get; }

    /// <summary>For torch, where new tensors are made.</summary>
    public abstract Device Torch { get; }

    /// <summary>Whether its tensors lie in host memory, where fused loops reach them. Elsewhere the same is done by torch's own operations.</summary>
    public abstract bool IsHost { get; }

    /// <summary>Bytes that are free for tensors now.</summary>
    public abstract long FreeMemory { get; }

    /// <summary>Most bytes of the device's own memory that were taken since it was opened; 0 for the host, whose processes are asked themselves.</summary>
    public virtual long PeakMemory => 0;

    /// <summary>Bytes of its memory that the libraries take for themselves once they are used.</summary>
    public virtual long Overhead => 0;

    /// <summary>Bytes of the host's memory that the libraries take for themselves once they are used.</summary>
    public virtual long HostOverhead => 0;

    /// <summary>What the products of a forward are made in; they are summed up in float32, and results are float32.</summary>
    /// <param name="width">Of the model's hidden states.</param>
    public virtual ScalarType ForwardType(int width) => ScalarType.Float32;

    /// <summary>
    /// What the products of tuning are made in, forwards and backwards. What is tuned, what decides and what is reported stays
    /// float32.
    /// </summary>
    /// <param name="width">Of the model's hidden states.</param>
    public virtual ScalarType GradientType(int width) => ForwardType(width);

    /// <summary>Adds xᵀx to the upper triangle of a matrix, if the device has a better way than torch's float32 product for what x is made of.</summary>
    /// <param name="gram">[channels, channels] float32, contiguous.</param>
    /// <param name="x">[tokens, channels] of a <see cref="ForwardType"/>, contiguous. Products are exact and summed up in float32.</param>
    /// <returns>Whether it was done.</returns>
    internal virtual bool AddGram(Tensor gram, Tensor x) => false;

    /// <summary>
    /// Brings a tensor here, from the host or from another device. The original is left as it is, and on the host it is the result
    /// itself. Where it is pinned, the copy may still be under way: it is not to change before <see cref="Synchronize"/>.
    /// </summary>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: it does not fit.</exception>
    public abstract Tensor Upload(Tensor tensor);

    /// <summary>
    /// Announces work that needs so much memory besides what was uploaded; disposed when it is over. Real devices let their allocator
    /// find out; a simulated one refuses here.
    /// </summary>
    public virtual IDisposable Reserve(long bytes) => Nothing.Instance;

    /// <summary>
    /// Fixes a tensor of the host where it is, so that it can be brought here at full speed while the host goes on. Disposed before
    /// the tensor; null where there is nothing to gain, or the system does not allow it.
    /// </summary>
    public virtual IDisposable? Pin(Tensor host) => null;

    /// <summary>Kernels of our own for the element-wise core of rounding; null where there are none, with the reason.</summary>
    internal virtual IRoundingKernels? Kernels(out string? reason)
    {
        reason = "the device has none";
        return null;
    }

    /// <summary>Waits until what was asked of the device is done, for whoever takes its time.</summary>
    public virtual void Synchronize()
    {
    }

    /// <summary>A copy in host memory, or the tensor itself if it is there.</summary>
    public static Tensor Download(Tensor tensor) => tensor.device_type == DeviceType.CPU ? tensor : tensor.cpu();

    /// <summary>A tensor's device, for tensors that torch made.</summary>
    public static ComputeDevice Of(Device device) => device.type == DeviceType.CPU ? Host : CudaDevice.Get(device.index);

    public override string ToString() => Name;

    private sealed class Nothing : IDisposable
    {
        public static readonly Nothing Instance = new();

        public void Dispose()
        {
        }
    }

    private sealed class HostDevice : ComputeDevice
    {
        // Narrower products are not what a step spends its time on.
        private const int WidthForHalf = 512;

        public override string Name => "cpu";

        public override Device Torch => CPU;

        public override bool IsHost => true;

        public override long FreeMemory => HostMemory.Free();

        public override ScalarType GradientType(int width) => CpuFeatures.MultipliesBFloat16 && width >= WidthForHalf ? ScalarType.BFloat16 : ScalarType.Float32;

        public override Tensor Upload(Tensor tensor) => tensor;
    }
}
