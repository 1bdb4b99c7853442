using System.Runtime.InteropServices;
using System.Text;

namespace AwqQuantize.Engine.Compute;

/// <summary>The functions of Kernels/rounding.cu on a GPU: compiled when they are first needed, started through CUDA's driver in torch's own context and stream.</summary>
internal sealed unsafe class CudaKernels : RoundingKernels
{
    private const uint ThreadsPerBlock = 128, Lanes = 32; // of a warp, which works on a row or a group

    private readonly int gpu;
    private readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> launch;
    private readonly Dictionary<string, nint> functions = [];

    private CudaKernels(int gpu, nint driver, byte[] code)
    {
        this.gpu = gpu;
        launch = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)NativeLibrary.GetExport(driver, "cuLaunchKernel");
        using var here = CudaRuntime.On(gpu);
        nint module = 0;
        fixed (byte* image = code)
            Check(((delegate* unmanaged<nint*, byte*, int>)NativeLibrary.GetExport(driver, "cuModuleLoadData"))(&module, image), "cuModuleLoadData");
        var get = (delegate* unmanaged<nint*, nint, byte*, int>)NativeLibrary.GetExport(driver, "cuModuleGetFunction");
        foreach (var name in Names)
        {
            nint function = 0;
            fixed (byte* text = Encoding.ASCII.GetBytes(name + '\0'))
                Check(get(&function, module, text), "cuModuleGetFunction");
            functions.Add(name, function);
        }
    }

    /// <summary>Compiles them for a GPU.</summary>
    /// <param name="reason">Why that is not possible; null where it was.</param>
    public static CudaKernels? TryCreate(int gpu, Version? capability, out string? reason)
    {
        try
        {
            reason = capability is null ? "the GPU's compute capability is not known" : null;
            if (capability is null)
                return null;
            if (Nvrtc.Find(TorchRuntime.Library.Folder) is not { } compiler)
            {
                reason = "NVRTC is not there";
                return null;
            }
            return new CudaKernels(gpu, NativeLibrary.Load(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1"), compiler.Compile(Source, capability));
        }
        catch (Exception e) when (e is InvalidOperationException or DllNotFoundException or EntryPointNotFoundException or BadImageFormatException)
        {
            reason = e.Message;
            return null;
        }
    }

    protected override void Launch(string name, long pieces, void** arguments)
    {
        using var here = CudaRuntime.On(gpu);
        Check(launch(functions[name], checked((uint)((pieces * Lanes + ThreadsPerBlock - 1) / ThreadsPerBlock)), 1, 1, ThreadsPerBlock, 1, 1, 0, 0, arguments, null), $"cuLaunchKernel of {name}");
    }

    private static void Check(int code, string call)
    {
        if (code != 0)
            throw new InvalidOperationException($"{call} fails with error {code} of CUDA's driver.");
    }
}
