using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace AwqQuantize.Engine.Compute;

/// <summary>NVIDIA's compiler as a library (NVRTC), which comes along with a libtorch for CUDA: no compiler is needed on the user's machine.</summary>
internal sealed unsafe class Nvrtc
{
    private readonly nint library;

    private Nvrtc(nint library) => this.library = library;

    /// <summary>The one that belongs to a libtorch, or the system's; null where there is none.</summary>
    /// <param name="folder">Of libtorch's libraries.</param>
    public static Nvrtc? Find(string folder) => Candidates(folder).Select(Load).FirstOrDefault(n => n is not null);

    /// <summary>A library by its path or name; null where it does not load.</summary>
    public static Nvrtc? Load(string file) => NativeLibrary.TryLoad(file, out var library) && NativeLibrary.TryGetExport(library, "nvrtcGetCUBIN", out _) ? new Nvrtc(library) : null;

    /// <summary>Machine code for a GPU.</summary>
    /// <param name="capability">Its compute capability.</param>
    /// <exception cref="InvalidOperationException">With what the compiler says.</exception>
    public byte[] Compile(string source, Version capability)
    {
        nint program = 0;
        fixed (byte* text = Encoding.UTF8.GetBytes(source + '\0'), name = "rounding.cu\0"u8,
            architecture = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"--gpu-architecture=sm_{capability.Major}{capability.Minor}\0")), contraction = "--fmad=false\0"u8)
        {
            Check(((delegate* unmanaged<nint*, byte*, byte*, int, nint, nint, int>)Export("nvrtcCreateProgram"))(&program, text, name, 0, 0, 0), "nvrtcCreateProgram");
            try
            {
                var options = stackalloc byte*[] { architecture, contraction };
                var code = ((delegate* unmanaged<nint, int, byte**, int>)Export("nvrtcCompileProgram"))(program, 2, options);
                if (code != 0)
                    throw new InvalidOperationException($"NVRTC does not compile for compute capability {capability} (error {code}): {Encoding.UTF8.GetString(Read(program, "nvrtcGetProgramLog")).TrimEnd('\0', '\n')}");
                return Read(program, "nvrtcGetCUBIN");
            }
            finally
            {
                _ = ((delegate* unmanaged<nint*, int>)Export("nvrtcDestroyProgram"))(&program);
            }
        }
    }

    private byte[] Read(nint program, string what)
    {
        nuint size = 0;
        Check(((delegate* unmanaged<nint, nuint*, int>)Export(what + "Size"))(program, &size), what + "Size");
        var result = new byte[size];
        fixed (byte* bytes = result)
            Check(((delegate* unmanaged<nint, byte*, int>)Export(what))(program, bytes), what);
        return result;
    }

    private nint Export(string name) => NativeLibrary.GetExport(library, name);

    private static void Check(int code, string call)
    {
        if (code != 0)
            throw new InvalidOperationException($"{call} fails with error {code}.");
    }

    // Beside libtorch, in PyTorch's own packages (site-packages/nvidia beside site-packages/torch), or wherever the system looks.
    private static IEnumerable<string> Candidates(string folder)
    {
        var packages = Path.Combine(folder, "..", "..", "nvidia");
        var folders = new[] { folder, Path.Combine(packages, "cuda_nvrtc", OperatingSystem.IsWindows() ? "bin" : "lib"), Path.Combine(packages, "cu13", OperatingSystem.IsWindows() ? "bin" : "lib") };
        foreach (var place in folders.Where(Directory.Exists))
            foreach (var file in Directory.EnumerateFiles(place, OperatingSystem.IsWindows() ? "nvrtc64_*.dll" : "libnvrtc*.so*").Where(f => !f.Contains("builtins", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
                yield return Path.GetFullPath(file);
        foreach (var name in OperatingSystem.IsWindows() ? new[] { "nvrtc64_130_0.dll", "nvrtc64_120_0.dll" } : ["libnvrtc.so.13", "libnvrtc.so.12"])
            yield return name;
    }
}
