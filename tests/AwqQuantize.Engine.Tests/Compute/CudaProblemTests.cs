using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>What users read where CUDA does not work: what does not fit what, and what to do about it.</summary>
public sealed class CudaProblemTests
{
    [Theory]
    [InlineData("libcudart.so.12: cannot open shared object file: No such file or directory", "it needs libcudart.so.12", "nvidia-*")]
    [InlineData("/venv/lib/libtorch_cuda.so: libcublas.so.12: cannot open shared object file: No such file or directory\nand more", "it needs libcublas.so.12", "pip install")]
    [InlineData("libcuda.so.1: cannot open shared object file: No such file or directory", "it needs libcuda.so.1", "--gpus all")]
    [InlineData("undefined symbol: _ZN3c10\nand more", "undefined symbol: _ZN3c10", "driver")]
    public void ALibraryThatDoesNotLoadIsNamed(string error, string reason, string remedy)
    {
        var problem = CudaProblem.DoesNotLoad("/venv/torch/lib/libtorch_cuda.so", error);
        Assert.Contains(reason, problem.Reason);
        Assert.DoesNotContain("and more", problem.Reason);
        Assert.Contains(remedy, problem.Remedy);
    }

    [Theory]
    [InlineData(null, null, null, "2.10.0+cu128", "no NVIDIA driver", "--gpus all")]
    [InlineData("CUDA driver version is insufficient for CUDA runtime version", "Tesla T4", "11.4", "2.10.0+cu128", "up to 11.4, and the libtorch 2.10.0+cu128 is made for CUDA 12.8", "one that runs CUDA 12.8")]
    [InlineData("no CUDA-capable device is detected", "NVIDIA A100", "13.0", "2.10.0+cu128", "CUDA does not start", "CUDA_VISIBLE_DEVICES")]
    [InlineData("initialization error", "NVIDIA A100", "12.8", null, "initialization error", "begin a new one")]
    [InlineData("initialization error", "NVIDIA A100", null, "2.10.0+cpu", "knows NVIDIA A100", "nvidia-smi")]
    public void WhatDoesNotStartSaysWhatDoesNotFit(string? error, string? model, string? driver, string? libtorch, string reason, string remedy)
    {
        var problem = CudaProblem.DoesNotStart(error, model, driver is null ? null : Version.Parse(driver), libtorch);
        Assert.Contains(reason, problem.Reason);
        Assert.Contains(remedy, problem.Remedy);
        Assert.Contains("-Device cpu", problem.Remedy);
        if (error is not null)
            Assert.Contains(error, problem.Reason);
    }

    [Fact]
    public void AGpuThatIsTooOldForTheLibtorchIsToldFromOneThatIsBusy()
    {
        var old = CudaProblem.DoesNotRun("CUDA error: no kernel image is available for execution on the device", "cuda:0 (Tesla P100)", new Version(6, 0), "2.10.0+cu128");
        Assert.Contains("2.10.0+cu128 has no code for cuda:0 (Tesla P100), whose compute capability is 6.0", old.Reason);
        Assert.Contains("older CUDA", old.Remedy);
        var busy = CudaProblem.DoesNotRun("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "cuda:0", null, null);
        Assert.Contains("busy", busy.Reason);
        Assert.Contains("nvidia-smi", busy.Remedy);
    }
}
