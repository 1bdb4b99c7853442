using System.Globalization;
using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Compute;

/// <summary>Why no GPU can be used, in words that say who has to change: libtorch, the driver, or the way a container was started.</summary>
/// <param name="Reason">Half a sentence.</param>
/// <param name="Remedy">Sentences.</param>
public sealed partial record CudaProblem(string Reason, string Remedy)
{
    private const string OtherLibtorch = "the libtorch of an installed PyTorch (-TorchLibraryPath), or a module built with TorchBackend=cuda-linux";

    /// <summary>The libtorch that is used has no CUDA half.</summary>
    public static CudaProblem CpuOnly(string folder) => new($"the libtorch in '{folder}' is built for the CPU alone",
        $"Use {OtherLibtorch}; or -Device cpu.");

    /// <summary>It has one, which the system's loader refuses.</summary>
    /// <param name="file">The library.</param>
    /// <param name="error">What the loader says.</param>
    public static CudaProblem DoesNotLoad(string file, string error)
    {
        var missing = MissingLibrary().Match(error) is { Success: true } match ? match.Groups[1].Value : null;
        return new CudaProblem($"'{file}' does not load: {(missing is null ? error.Split('\n')[0] : $"it needs {missing}, which is not there")}",
            missing is null || missing.StartsWith("libcuda.", StringComparison.Ordinal)
                ? "Install NVIDIA's driver (in a container: start it with --gpus all and NVIDIA's container toolkit), or use -Device cpu."
                : "Install that PyTorch with all its nvidia-* packages (pip install does), give the folder of its package torch where it stands, not a copy of its lib folder; or use -Device cpu.");
    }

    /// <summary>CUDA is loaded and does not start.</summary>
    /// <param name="error">What it says itself; null where it says nothing.</param>
    /// <param name="model">First GPU that the driver knows; null where there is no driver or no GPU.</param>
    /// <param name="driver">Newest CUDA that the driver runs.</param>
    /// <param name="libtorch">Version of the libtorch, e.g. <c>2.10.0+cu128</c>.</param>
    public static CudaProblem DoesNotStart(string? error, string? model, Version? driver, string? libtorch)
    {
        var said = error is null ? "" : $" ({error})";
        if (model is null)
            return new CudaProblem($"there is no NVIDIA driver, or none of its GPUs is visible here{said}",
                "Install the driver; in a container: start it with --gpus all and NVIDIA's container toolkit; or use -Device cpu.");
        var built = CudaOf(libtorch);
        if (driver is not null && built is not null && driver < built)
            return new CudaProblem(string.Create(CultureInfo.InvariantCulture, $"the driver of {model} runs CUDA up to {driver}, and the libtorch {libtorch} is made for CUDA {built}{said}"),
                $"Update NVIDIA's driver to one that runs CUDA {built}, or use a PyTorch {TorchLibrary.NeededVersion} that is made for CUDA {driver} or older (-TorchLibraryPath); or -Device cpu.");
        return new CudaProblem($"CUDA does not start, though the driver{(driver is null ? "" : $" (CUDA {driver})")} knows {model}{said}",
            "Look at CUDA_VISIBLE_DEVICES and at what nvidia-smi says. Where this session began on the CPU, begin a new one: CUDA has to be there from the first command on. Or use -Device cpu.");
    }

    /// <summary>A GPU is there, and does not run libtorch's code.</summary>
    /// <param name="error">What libtorch says.</param>
    /// <param name="capability">Of the GPU.</param>
    public static CudaProblem DoesNotRun(string error, string gpu, Version? capability, string? libtorch) => error.Contains("no kernel image", StringComparison.OrdinalIgnoreCase)
        ? new CudaProblem($"the libtorch{(libtorch is null ? "" : $" {libtorch}")} has no code for {gpu}{(capability is null ? "" : $", whose compute capability is {capability}")}",
            $"Use a PyTorch {TorchLibrary.NeededVersion} that is made for it (builds for an older CUDA know older GPUs, -TorchLibraryPath), another GPU, or -Device cpu.")
        : new CudaProblem($"{gpu} does not work: {error}", "Look at what nvidia-smi says: another process may hold it for itself or have taken its memory. Or use another GPU, or -Device cpu.");

    /// <summary>The CUDA that a libtorch is made for, from its version.</summary>
    private static Version? CudaOf(string? libtorch) => libtorch is not null && CudaTag().Match(libtorch) is { Success: true } match
        ? new Version(int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture), int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture)) : null;

    [GeneratedRegex(@"\+cu(\d+)(\d)$")]
    private static partial Regex CudaTag();

    [GeneratedRegex(@"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")]
    private static partial Regex MissingLibrary();
}
