using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>A device that computes on the CPU, in tensors of its own, behind a memory limit: what a GPU that is too small does. It may say that it has more, as one does whose memory is in pieces.</summary>
internal sealed class SimulatedDevice(long limit, int index = 0, ScalarType forwardType = ScalarType.Float32, IRoundingKernels? kernels = null, long? claimed = null) : ComputeDevice
{
    private readonly Lock gate = new();

    public override string Name => $"simulated:{index}";

    public override Device Torch => CPU;

    public override bool IsHost => false;

    public override ScalarType ForwardType(int width) => forwardType;

    public override long FreeMemory => (claimed ?? limit) - Used;

    public long Used { get; private set; }

    public long Peak { get; private set; }

    public override long PeakMemory => Peak;

    /// <summary>Tensors of the host that are fixed in their place now, and that ever were.</summary>
    public (int Now, int Ever) Pinned { get; private set; }

    /// <summary>Requests that were refused.</summary>
    public int Refused { get; private set; }

    public override Tensor Upload(Tensor tensor) => tensor.clone();

    public override IDisposable Reserve(long bytes)
    {
        lock (gate)
        {
            if (Used + bytes > limit)
            {
                Refused++;
                throw new DeviceMemoryExhaustedException($"simulated device: {bytes} bytes do not fit, {limit - Used} are free");
            }
            Used += bytes;
            Peak = Math.Max(Peak, Used);
            return new Claim(this, bytes);
        }
    }

    internal override IRoundingKernels? Kernels(out string? reason)
    {
        reason = kernels is null ? "it is simulated" : null;
        return kernels;
    }

    public override IDisposable? Pin(Tensor host)
    {
        lock (gate)
            Pinned = (Pinned.Now + 1, Pinned.Ever + 1);
        return new Pin1(this);
    }

    private sealed class Pin1(SimulatedDevice device) : IDisposable
    {
        public void Dispose()
        {
            lock (device.gate)
                device.Pinned = (device.Pinned.Now - 1, device.Pinned.Ever);
        }
    }

    private sealed class Claim(SimulatedDevice device, long bytes) : IDisposable
    {
        private bool returned;

        public void Dispose()
        {
            lock (device.gate)
            {
                device.Used -= returned ? 0 : bytes;
                returned = true;
            }
        }
    }
}
