namespace AwqQuantize.Tests.Commands;

public sealed class GetAwqDeviceTests
{
    [Fact]
    public void TheCpuComesFirstWithTheMemoryOfTheMachine()
    {
        using var session = new ModuleSession();
        var devices = session.Run("Get-AwqDevice").ThrowOnError().Output;
        Assert.Equal("cpu", devices[0].Properties["Name"].Value);
        Assert.True((bool)devices[0].Properties["IsUsable"].Value);
        Assert.Contains($"{Environment.ProcessorCount} cores", (string)devices[0].Properties["Model"].Value);
        var memory = (long)devices[0].Properties["Memory"].Value;
        Assert.InRange((long)devices[0].Properties["FreeMemory"].Value, 1, Math.Max(memory, 1L << 46));
        Assert.All(devices.Skip(1), d => Assert.StartsWith("cuda:", (string)d.Properties["Name"].Value));
    }

    [Fact]
    public void AnotherVersionOfLibtorchIsRefusedByName()
    {
        var torch = Directory.CreateTempSubdirectory();
        try
        {
            var lib = torch.CreateSubdirectory("lib").FullName;
            foreach (var name in OperatingSystem.IsWindows() ? ["c10.dll", "torch_cpu.dll", "torch.dll"] : new[] { "libc10.so", "libtorch_cpu.so", "libtorch.so" })
                File.WriteAllText(Path.Combine(lib, name), "");
            File.WriteAllText(Path.Combine(torch.FullName, "version.py"), "__version__ = '2.6.0+cu124'\n");
            using var session = new ModuleSession();
            var refused = session.Run("Get-AwqDevice -TorchLibraryPath $path", ("path", torch.FullName));
            Assert.Equal("TorchLibraryMismatch", refused.ErrorId);
            Assert.Empty(refused.Output);
        }
        finally
        {
            torch.Delete(recursive: true);
        }
    }

    [Fact]
    public void AnUnknownNameIsAnError()
    {
        using var session = new ModuleSession();
        Assert.Single(session.Run("Get-AwqDevice c*u").ThrowOnError().Output);
        Assert.Equal("DeviceUnavailable", session.Run("Get-AwqDevice tpu").ErrorId);
    }
}
