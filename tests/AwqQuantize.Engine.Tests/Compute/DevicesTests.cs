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
        Assert.Same(ComputeDevice.Host, Assert.Single(device));
    }

    [Fact]
    public void AutoTakesTheFirstGpuOrTheCpu()
    {
        Assert.Equal("gpu 0", Assert.Single(Opened("auto", 2)).Name);
        Assert.Same(ComputeDevice.Host, Assert.Single(Opened("auto", 0)));
    }

    [Fact]
    public void AGpuIsTakenByItsNumber() => Assert.Equal("gpu 1", Assert.Single(Opened("cuda:1", 2)).Name);

    [Fact]
    public void SeveralAreTakenInTheOrderGiven() => Assert.Equal(["gpu 2", "gpu 0"], Opened("cuda:2,cuda:0", 3).Select(d => d.Name));

    [Fact]
    public void MeasuringTakesOne()
    {
        var error = Assert.Throws<AwqException>(() => Devices.Choose("cuda:0,cuda:1", forceCpu: false));
        Assert.Equal("SeveralDevices", error.Id);
        Assert.Contains("-Device cuda:0", error.Remedy);
    }

    [Fact]
    public void WhatIsNotThereIsAnErrorThatSaysWhy()
    {
        var none = Assert.Throws<AwqException>(() => Opened("cuda", 0));
        Assert.Equal("DeviceUnavailable", none.Id);
        Assert.Contains("because of the test", none.Message);
        Assert.Equal("Mend the test.", none.Remedy);
        Assert.Contains("2 are here", Assert.Throws<AwqException>(() => Opened("cuda:2", 2)).Message);
        Assert.Contains("no device cuda:1", Assert.Throws<AwqException>(() => Opened("cuda:0,cuda:1", 1)).Message);
    }

    [Fact]
    public void ThisLibtorchSaysThatItIsForTheCpu()
    {
        // The tests run on the CPU's libtorch.
        var (count, problem) = Devices.CountGpus();
        Assert.Equal(0, count);
        Assert.Contains("built for the CPU", problem!.Reason);
        Assert.Contains("-TorchLibraryPath", problem.Remedy);
    }

    [Fact]
    public void GpusAreListedByCudasNumbersAndNotByTheDriversOrder()
    {
        GpuDescription a = new("A", 10, 5, new Version(9, 0), null, "00000000:3B:00.0"), b = new("B", 20, 6, new Version(8, 0), null, "00000000:5E:00.0"), hidden = new("C", 30, 7, null, null, "00000001:3B:00.0");
        var listed = DeviceInventory.Gpus([a, hidden, b], ["0000:5e:00.0", "0000:3B:00.0"], null).ToList();
        Assert.Equal(["cuda:0", "cuda:1", "gpu at 00000001:3B:00.0"], listed.Select(g => g.Name));
        Assert.Equal(["B", "A", "C"], listed.Select(g => g.Model));
        Assert.Equal([true, true, false], listed.Select(g => g.IsUsable));
        Assert.Contains("CUDA_VISIBLE_DEVICES", listed[2].Reason);
    }

    [Fact]
    public void GpusThatCannotBeUsedAreListedWithTheReasonAndTheRemedy()
    {
        var listed = Assert.Single(DeviceInventory.Gpus([new("A", 10, 5, null, null)], [], new CudaProblem("it is asleep", "Wake it.")));
        Assert.Equal(("cuda:0", false, "it is asleep. Wake it."), (listed.Name, listed.IsUsable, listed.Reason));
    }

    private static IReadOnlyList<ComputeDevice> Opened(string name, int gpus) => Devices.Choose(DeviceRequest.Parse(name), false, () => (gpus, gpus == 0 ? new CudaProblem("because of the test", "Mend the test.") : null), i => new Gpu(i));

    private sealed class Gpu(int index) : ComputeDevice
    {
        public override string Name => $"gpu {index}";

        public override TorchSharp.torch.Device Torch => TorchSharp.torch.CPU;

        public override bool IsHost => false;

        public override long FreeMemory => 0;

        public override TorchSharp.torch.Tensor Upload(TorchSharp.torch.Tensor tensor) => tensor;
    }
}
