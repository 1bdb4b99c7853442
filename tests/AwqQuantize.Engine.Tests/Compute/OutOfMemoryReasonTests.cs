using System.Runtime.InteropServices;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>What is told of an error of libtorch's, as an H100 and a CPU gave them.</summary>
public sealed class OutOfMemoryReasonTests
{
    [Theory]
    [InlineData("CUDA out of memory. Tried to allocate 384.00 MiB. GPU 0 has a total capacity of 79.18 GiB of which 78.08 GiB is free. Including non-PyTorch memory, this process has 1.09 GiB memory in use.\nException raised from malloc",
        "CUDA out of memory. Tried to allocate 384.00 MiB")]
    [InlineData("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)\nframe #0",
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)")]
    public void TheRequestIsToldAndNotTheAllocatorsState(string message, string expected)
    {
        var error = new ExternalException(message);
        Assert.True(OutOfMemory.Is(error));
        Assert.Equal(expected, OutOfMemory.Reason(error));
    }
}
