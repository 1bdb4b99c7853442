using System.Diagnostics;

namespace AwqQuantize.Tests.Console;

/// <summary>
/// A driver that knows a GPU, and a libtorch that cannot use it: what a machine with a GPU has where the module for the CPU was
/// installed. The driver is a library of the same name that answers for a GPU that is not there.
/// </summary>
public sealed class UnusedGpuTests : IDisposable
{
    private const string Driver = """
        #include <string.h>
        extern "C" {
        struct memory { unsigned long long total, free, used; };
        int nvmlInit_v2() { return 0; }
        int nvmlShutdown() { return 0; }
        int nvmlDeviceGetCount_v2(unsigned int* count) { *count = 1; return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned int, void** handle) { *handle = (void*)1; return 0; }
        int nvmlDeviceGetName(void*, char* name, unsigned int) { strcpy(name, "Pretended GPU"); return 0; }
        int nvmlDeviceGetMemoryInfo(void*, memory* m) { m->total = 8ull << 30; m->free = 6ull << 30; m->used = 2ull << 30; return 0; }
        int nvmlDeviceGetCudaComputeCapability(void*, int* major, int* minor) { *major = 8; *minor = 9; return 0; }
        int nvmlSystemGetCudaDriverVersion_v2(int* version) { *version = 12040; return 0; }
        }
        """;

    private readonly ModelCopy copy = new("model");

    public void Dispose() => copy.Dispose();

    [Fact]
    public void ItIsSaidWhyAGpuIsNotUsed()
    {
        MakeDriver();
        var device = Run("Get-AwqDevice");
        Assert.Equal(0, device.ExitCode);
        Assert.Contains("Pretended GPU", device.Output);

        var automatic = Run("Invoke-AwqQuantization", copy["model"], "-GroupSize", "32", "-SampleCount", "16", "-SequenceLength", "64", "-WhatIf");
        Assert.Equal(0, automatic.ExitCode);
        Assert.Matches(@"There is a GPU, but the CPU does the work: .+ \[GpuNotUsed\]", automatic.Output + automatic.Error);
        // Who asks for the CPU is told nothing of GPUs.
        var forced = Run("Invoke-AwqQuantization", copy["model"], "-GroupSize", "32", "-SampleCount", "16", "-SequenceLength", "64", "-WhatIf", "-ForceCpu");
        Assert.DoesNotContain("GPU", forced.Output + forced.Error);
    }

    private void MakeDriver()
    {
        var compiler = Environment.GetEnvironmentVariable("PATH")?.Split(Path.PathSeparator).Any(f => File.Exists(Path.Combine(f, "g++"))) == true;
        if (!OperatingSystem.IsLinux() || !compiler)
            Assert.Skip("It needs Linux and g++, which makes the driver.");
        File.WriteAllText(Path.Combine(copy.Root, "driver.cpp"), Driver);
        using var process = Process.Start("g++", ["-shared", "-fPIC", "-o", Path.Combine(copy.Root, "libnvidia-ml.so.1"), Path.Combine(copy.Root, "driver.cpp")]);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }

    private ProcessResult Run(params string[] arguments) =>
        ProcessResult.Of(ConsoleProcess.Start(copy.Root, new() { ["LD_LIBRARY_PATH"] = copy.Root, ["AWQ_LIBTORCH"] = null }, arguments));
}
