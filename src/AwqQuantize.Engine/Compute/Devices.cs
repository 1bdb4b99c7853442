using TorchSharp;

namespace AwqQuantize.Engine.Compute;

/// <summary>Chooses where a run computes.</summary>
public static class Devices
{
    /// <summary>The one device that a user's words mean. For the CPU nothing of CUDA is touched.</summary>
    /// <param name="name">As <see cref="DeviceRequest.Parse"/> reads it.</param>
    /// <param name="forceCpu">Whether no GPU is even looked for.</param>
    /// <exception cref="AwqException"><c>DeviceInvalid</c>, <c>DeviceUnavailable</c>, <c>SeveralDevices</c>.</exception>
    public static ComputeDevice Choose(string name, bool forceCpu)
    {
        var request = DeviceRequest.Parse(name);
        return !forceCpu && request.Gpus.Count > 1
            ? throw new AwqException("SeveralDevices", AwqErrorKind.NotSupported, $"'{request}' asks for {request.Gpus.Count} GPUs; measuring uses one.", $"Give one of them: -Device cuda:{request.Gpus[0]}.")
            : ChooseAll(name, forceCpu)[0];
    }

    /// <summary>All devices that a user's words mean, in the order given; never none.</summary>
    /// <exception cref="AwqException"><c>DeviceInvalid</c>, <c>DeviceUnavailable</c>.</exception>
    public static IReadOnlyList<ComputeDevice> ChooseAll(string name, bool forceCpu) => Choose(DeviceRequest.Parse(name), forceCpu, CountGpus, Open);

    /// <summary>The same, given who counts and opens GPUs; neither is called where no GPU is asked for.</summary>
    /// <param name="count">How many GPUs can be used, and why there is none.</param>
    internal static IReadOnlyList<ComputeDevice> Choose(DeviceRequest request, bool forceCpu, Func<(int Count, CudaProblem? Problem)> count, Func<int, ComputeDevice> open)
    {
        TorchRuntime.EnsureLoaded(cpuAlone: forceCpu || request.IsCpu);
        if (forceCpu || request.IsCpu)
            return [ComputeDevice.Host];
        var (gpus, problem) = count();
        if (request.IsAuto)
            return gpus > 0 ? [open(0)] : [ComputeDevice.Host];
        foreach (var index in request.Gpus)
            if (index >= gpus)
                throw gpus == 0
                    ? Unavailable($"No GPU can be used: {problem!.Reason}.", problem.Remedy)
                    : Unavailable($"There is no device cuda:{index}; {gpus} {(gpus == 1 ? "is" : "are")} here.", "Get-AwqDevice lists them.");
        return [.. request.Gpus.Select(open)];
    }

    /// <summary>How many GPUs this libtorch can use; where none, why.</summary>
    internal static (int Count, CudaProblem? Problem) CountGpus()
    {
        if (CudaRuntime.TryLoad() is { } problem)
            return (0, problem);
        if (torch.cuda.is_available())
            return (torch.cuda.device_count(), null);
        var first = GpuDriver.Read().FirstOrDefault();
        return (0, CudaProblem.DoesNotStart(CudaRuntime.CountingError(), first?.Model, first?.DriverCuda, TorchRuntime.Library.Version));
    }

    /// <summary>Why a GPU that is there was not chosen; null where none is there, or one can be used.</summary>
    public static CudaProblem? WhyNotGpu() => GpuDriver.Read().Count > 0 && CountGpus() is (0, var problem) ? problem : null;

    /// <summary>A GPU that has shown that it works.</summary>
    private static CudaDevice Open(int index)
    {
        var gpu = CudaDevice.Get(index);
        try
        {
            using var one = torch.ones(1, device: gpu.Torch);
            using var two = one.add(1);
            return two.item<float>() == 2 ? gpu : throw Unavailable($"cuda:{index} does not work: 1 + 1 is not 2 on it.", "Use another GPU, or -Device cpu.");
        }
        catch (System.Runtime.InteropServices.ExternalException e)
        {
            var known = GpuDriver.Of(CudaRuntime.BusId(index));
            var problem = CudaProblem.DoesNotRun(OutOfMemory.FirstLine(e), $"cuda:{index}{(known is null ? "" : $" ({known.Model})")}", known?.ComputeCapability, TorchRuntime.Library.Version);
            throw Unavailable($"The GPU cannot be used: {problem.Reason}.", problem.Remedy);
        }
    }

    private static AwqException Unavailable(string message, string remedy) => new("DeviceUnavailable", AwqErrorKind.ResourceUnavailable, message, remedy);
}
