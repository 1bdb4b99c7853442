using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>The first GPU, for tests that need one; <c>AWQ_LIBTORCH</c> names a libtorch that can use it.</summary>
internal static class Gpu
{
    private static readonly Lazy<(ComputeDevice? Device, string? Reason)> First = new(() =>
    {
        var (count, problem) = Devices.CountGpus();
        return count > 0 ? (Devices.ChooseAll("cuda:0", forceCpu: false)[0], null) : (null, problem!.Reason);
    });

    /// <summary>Skips the test where there is none.</summary>
    public static ComputeDevice Require()
    {
        if (First.Value.Device is null)
            Assert.Skip($"it needs a GPU: {First.Value.Reason}");
        return First.Value.Device;
    }
}
