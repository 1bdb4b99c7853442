using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

public sealed class DevicesTests
{
    [Theory]
    [InlineData("cpu", false)]
    [InlineData("auto", true)]
    [InlineData("cuda", true)]
    public void ForTheCpuNoGpuIsLookedFor(string name, bool forceCpu)
    {
        var device = Devices.Choose(DeviceRequest.Parse(name), forceCpu,
            () => throw new InvalidOperationException("GPUs were counted"), _ => throw new InvalidOperationException("a GPU was opened"));
        Assert.Same(ComputeDevice.Host, device);
    }

    [Fact]
    public void AutoTakesTheFirstGpuOrTheCpu()
    {
        Assert.Equal("gpu 0", Opened("auto", 2).Name);
        Assert.Same(ComputeDevice.Host, Opened("auto", 0));
    }

    [Fact]
    public void AGpuIsTakenByItsNumber() => Assert.Equal("gpu 1", Opened("cuda:1", 2).Name);

    [Fact]
    public void WhatIsNotThereIsAnErrorThatSaysWhy()
    {
        var none = Assert.Throws<AwqException>(() => Opened("cuda", 0));
        Assert.Equal("DeviceUnavailable", none.Id);
        Assert.Contains("because of the test", none.Message);
        Assert.Contains("-TorchLibraryPath", none.Remedy);
        Assert.Contains("2 are here", Assert.Throws<AwqException>(() => Opened("cuda:2", 2)).Message);
        Assert.Equal("SeveralDevices", Assert.Throws<AwqException>(() => Opened("cuda:0,cuda:1", 2)).Id);
    }

    [Fact]
    public void ThisLibtorchSaysThatItIsForTheCpu()
    {
        // The tests run on the CPU's libtorch.
        var (count, reason) = Devices.CountGpus();
        Assert.Equal(0, count);
        Assert.Contains("built for the CPU", reason);
    }

    private static ComputeDevice Opened(string name, int gpus) => Devices.Choose(DeviceRequest.Parse(name), false, () => (gpus, gpus == 0 ? "because of the test" : null), i => new Gpu(i));

    private sealed class Gpu(int index) : ComputeDevice
    {
        public override string Name => $"gpu {index}";

        public override TorchSharp.torch.Device Torch => TorchSharp.torch.CPU;

        public override bool IsHost => false;

        public override long FreeMemory => 0;

        public override TorchSharp.torch.Tensor Upload(TorchSharp.torch.Tensor tensor) => tensor;
    }
}
