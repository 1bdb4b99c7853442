using System.Runtime.CompilerServices;
using AwqQuantize.Engine.Compute;
using TorchSharp;

namespace AwqQuantize.Engine.Tests;

/// <summary>Loads libtorch before the first test of the assembly.</summary>
internal static class TorchFixture
{
    [ModuleInitializer]
    internal static void Load()
    {
        TorchRuntime.EnsureLoaded();
        // libtorch remembers whether its CUDA half was there when it was first asked for anything.
        if (Environment.GetEnvironmentVariable(TorchRuntime.PathVariable) is { Length: > 0 })
            Devices.CountGpus();
        // Test classes run side by side, on small tensors: one thread each is fastest.
        torch.set_num_threads(1);
    }
}
