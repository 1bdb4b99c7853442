using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>A device that computes on the CPU, in tensors of its own, behind a memory limit: what a GPU that is too small does.</summary>
internal sealed class SimulatedDevice(long limit) : ComputeDevice
{
    private readonly Lock gate = new();

    public override string Name => "simulated:0";

    public override Device Torch => CPU;

    public override bool IsHost => false;

    public override long FreeMemory => limit - Used;

    public long Used { get; private set; }

    public long Peak { get; private set; }

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
