using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using AwqQuantize.Tests.Console;

namespace AwqQuantize.Tests.Isolation;

/// <summary>
/// Nothing of CUDA is loaded by an import or by a run on the CPU, even where the libtorch has a CUDA half. That half is a stand-in
/// here, which does load, and is loaded where a GPU is asked for.
/// </summary>
public sealed partial class CudaIsolationTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("awq-cuda-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("", false)]
    [InlineData("Invoke-AwqQuantization {0} -ForceCpu", false)]
    [InlineData("Invoke-AwqQuantization {0} -Device cpu", false)]
    [InlineData("Invoke-AwqQuantization {0}", true)]
    [InlineData("Get-AwqDevice -TorchLibraryPath {1}", true)]
    public void CudaIsLoadedWhereAGpuIsAskedForAlone(string command, bool isLoaded)
    {
        if (!OperatingSystem.IsLinux())
            Assert.Skip("the stand-in is made of Linux' libraries");
        var torch = PyTorchWithCuda();
        var model = $"-Path '{StagedModule.Sample}' -OutputPath '{Path.Combine(folder, "out")}' -TorchLibraryPath '{torch}' -SampleCount 2 -SequenceLength 64"
            + $" -CalibrationData '{Path.Combine(StagedModule.Root, "Calibration", "narrative.txt")}' -WarningAction SilentlyContinue";
        var result = ConsoleProcess.Run("-Command",
            $"Import-Module '{StagedModule.Manifest}'; $result = {(command.Length == 0 ? "1" : string.Format(command, model, $"'{torch}'"))}; [System.Diagnostics.Process]::GetCurrentProcess().Modules.FileName");
        Assert.True(result.ExitCode == 0, result.Error);
        var loaded = result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(command.Length > 0, loaded.Any(f => f == Path.Combine(torch, "lib", "libtorch_cpu.so")));
        Assert.Equal(isLoaded ? [Path.Combine(torch, "lib", "libtorch_cuda.so")] : [], loaded.Where(f => Cuda().IsMatch(Path.GetFileName(f))).Distinct());
    }

    /// <summary>The package folder of a PyTorch whose CUDA half is one of its other libraries under that name.</summary>
    private string PyTorchWithCuda()
    {
        var torch = Path.Combine(folder, "torch");
        var lib = Directory.CreateDirectory(Path.Combine(torch, "lib")).FullName;
        foreach (var file in Directory.GetFiles(StagedModule.Natives).Where(f => !f.Contains("LibTorchSharp", StringComparison.Ordinal)))
            if (link(file, Path.Combine(lib, Path.GetFileName(file))) != 0)
                File.Copy(file, Path.Combine(lib, Path.GetFileName(file)));
        File.Copy(Directory.GetFiles(StagedModule.Natives, "libgomp*").Single(), Path.Combine(lib, "libtorch_cuda.so"));
        File.WriteAllText(Path.Combine(torch, "version.py"), "__version__ = '2.10.0+cu128'\n");
        return torch;
    }

    [GeneratedRegex("cuda|cudart|cublas|cudnn|nvrtc|nvidia|nvml", RegexOptions.IgnoreCase)]
    private static partial Regex Cuda();

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int link(string from, string to);
}
