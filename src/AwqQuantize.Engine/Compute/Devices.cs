using TorchSharp;

namespace AwqQuantize.Engine.Compute;

/// <summary>Chooses where a run computes.</summary>
public static class Devices
{
    /// <summary>The device that a user's words mean. For the CPU nothing of CUDA is touched.</summary>
    /// <param name="name">As <see cref="DeviceRequest.Parse"/> reads it.</param>
    /// <param name="forceCpu">Whether no GPU is even looked for.</param>
    /// <exception cref="AwqException"><c>DeviceInvalid</c>, <c>DeviceUnavailable</c>, <c>SeveralDevices</c>.</exception>
    public static ComputeDevice Choose(string name, bool forceCpu)
    {
        var request = DeviceRequest.Parse(name);
        return Choose(request, forceCpu, CountGpus, index => new CudaDevice(index));
    }

    /// <summary>The same, given who counts and opens GPUs; neither is called where no GPU is asked for.</summary>
    /// <param name="count">How many GPUs can be used, and why there is none.</param>
    internal static ComputeDevice Choose(DeviceRequest request, bool forceCpu, Func<(int Count, string? Reason)> count, Func<int, ComputeDevice> open)
    {
        TorchRuntime.EnsureLoaded();
        if (forceCpu || request.IsCpu)
            return ComputeDevice.Host;
        if (request.Gpus.Count > 1)
            throw new AwqException("SeveralDevices", AwqErrorKind.NotSupported, $"'{request}' asks for {request.Gpus.Count} GPUs; a run uses one.",
                $"Give one of them (-Device cuda:{request.Gpus[0]}), and quantise other models on the others at the same time.");
        var (gpus, reason) = count();
        if (request.IsAuto)
            return gpus > 0 ? open(0) : ComputeDevice.Host;
        var index = request.Gpus[0];
        if (index >= gpus)
            throw new AwqException("DeviceUnavailable", AwqErrorKind.ResourceUnavailable,
                gpus == 0 ? $"No GPU can be used: {reason}." : $"There is no device cuda:{index}; {gpus} are here.",
                "Use -Device cpu, or a machine with an NVIDIA driver and a CUDA libtorch: that of an installed PyTorch (-TorchLibraryPath), or a module built with TorchBackend=cuda-linux.");
        return open(index);
    }

    /// <summary>How many GPUs this libtorch can use; where none, why.</summary>
    internal static (int Count, string? Reason) CountGpus()
    {
        if (CudaRuntime.TryLoad() is { } problem)
            return (0, problem);
        if (torch.cuda.is_available())
            return (torch.cuda.device_count(), null);
        return (0, GpuDriver.Read() is [var first, ..]
            ? $"CUDA does not start, though the driver knows {first.Model}: the driver runs CUDA up to {first.DriverCuda?.ToString() ?? "an unknown version"}, and the libtorch is {TorchRuntime.Library.Version ?? "of an unknown version"}"
            : "there is no NVIDIA driver, or none of its GPUs is visible here");
    }
}
