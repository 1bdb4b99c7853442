using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>Chooses where a run computes.</summary>
public static class Devices
{
    /// <summary>The device that a user's words mean.</summary>
    /// <param name="name"><c>auto</c> (the first GPU, else the CPU), <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</param>
    /// <param name="forceCpu">Whether no GPU is even looked for.</param>
    /// <exception cref="AwqException"><c>DeviceInvalid</c>, <c>DeviceUnavailable</c>.</exception>
    public static Device Choose(string name, bool forceCpu)
    {
        TorchRuntime.EnsureLoaded();
        name = name.Trim().ToLowerInvariant();
        if (forceCpu || name == "cpu")
            return CPU;
        var gpus = cuda.is_available() ? cuda.device_count() : 0;
        if (name == "auto")
            return gpus > 0 ? device("cuda:0") : CPU;
        var index = 0;
        if (name != "cuda" && !(name.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), out index) && index >= 0))
            throw new AwqException("DeviceInvalid", AwqErrorKind.InvalidArgument, $"There is no device '{name}'.", "Use auto, cpu, cuda or cuda:N.");
        if (index >= gpus)
            throw new AwqException("DeviceUnavailable", AwqErrorKind.ResourceUnavailable,
                gpus == 0 ? "This libtorch finds no CUDA device." : $"There is no device cuda:{index}; {gpus} are here.",
                "Use -Device cpu, or a module built with TorchBackend=cuda-linux (or AWQ_LIBTORCH pointing to a CUDA libtorch) on a machine with an NVIDIA driver.");
        return device($"cuda:{index}");
    }
}
