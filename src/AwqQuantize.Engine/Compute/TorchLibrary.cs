using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// A libtorch on the disk: that of the module, or another one, such as the one inside an installed PyTorch. Everything here is
/// read from files; nothing is loaded.
/// </summary>
/// <param name="Folder">Where its libraries lie.</param>
/// <param name="Version">As it calls itself, e.g. <c>2.10.0+cu128</c>; null where nothing says.</param>
public sealed partial record TorchLibrary(string Folder, string? Version)
{
    /// <summary>The version that TorchSharp was compiled against: libtorch's C++ interface is promised for one minor version.</summary>
    public const string NeededVersion = "2.10";

    /// <summary>Versions that were seen to work: TorchSharp finds all it needs in them, and results are the same.</summary>
    private static readonly string[] Versions = [NeededVersion, "2.11"];

    private static readonly string[] Libraries =
        OperatingSystem.IsWindows() ? ["c10.dll", "torch_cpu.dll", "torch.dll"] : ["libc10.so", "libtorch_cpu.so", "libtorch.so"];

    /// <summary>
    /// TorchSharp's own library. Where one lies in the folder of a libtorch, it was compiled for that libtorch, of whichever version, and
    /// takes the place of the module's.
    /// </summary>
    public static string Bridge { get; } = OperatingSystem.IsWindows() ? "LibTorchSharp.dll" : "libLibTorchSharp.so";

    /// <summary>
    /// The libraries of its CPU half in the order in which they are loaded. On Linux libtorch.so is not among them: it holds nothing,
    /// and brings CUDA's half with it.
    /// </summary>
    public IEnumerable<string> Files => Libraries.Where(l => l != "libtorch.so").Select(l => Path.Combine(Folder, l));

    /// <summary>Finds the libtorch that a path means.</summary>
    /// <param name="path">
    /// The folder of its libraries, of an unpacked libtorch, of Python's package <c>torch</c>, or of a Python environment with that
    /// package.
    /// </param>
    /// <exception cref="AwqException"><c>TorchLibraryMissing</c>, <c>TorchLibraryMismatch</c>.</exception>
    public static TorchLibrary Find(string path)
    {
        var folder = Candidates(Path.GetFullPath(path)).FirstOrDefault(IsLibtorch)
            ?? throw new AwqException("TorchLibraryMissing", AwqErrorKind.NotFound, $"There is no libtorch in '{path}': {Libraries[1]} is neither there nor in lib, torch/lib or site-packages/torch/lib below it.",
                "Give the folder that python -c \"import torch, os; print(os.path.dirname(torch.__file__))\" prints.");
        var library = new TorchLibrary(folder, ReadVersion(folder));
        return library.Version is null || Fits(library.Version) || File.Exists(Path.Combine(folder, Bridge)) ? library
            : throw new AwqException("TorchLibraryMismatch", AwqErrorKind.NotSupported, $"The libtorch in '{folder}' is version {library.Version}; this module works with {string.Join(" and ", Versions)}.",
                $"Install that version (pip install \"torch=={NeededVersion}.*\"), or leave -TorchLibraryPath and AWQ_LIBTORCH out to use the module's own libtorch. A {Bridge} that was compiled for {library.Version} may also be laid into '{folder}'.");
    }

    /// <summary>Whether TorchSharp works with a version.</summary>
    public static bool Fits(string version) => MinorVersion().Match(version) is { Success: true } match && Versions.Contains(match.Groups[1].Value);

    private static bool IsLibtorch(string folder) => Libraries.All(l => File.Exists(Path.Combine(folder, l)));

    private static IEnumerable<string> Candidates(string path)
    {
        yield return path;
        yield return Path.Combine(path, "lib");
        yield return Path.Combine(path, "torch", "lib");
        yield return Path.Combine(path, "Lib", "site-packages", "torch", "lib");
        foreach (var lib in (string[])["lib", "lib64"])
            if (Directory.Exists(Path.Combine(path, lib)))
                foreach (var python in Directory.EnumerateDirectories(Path.Combine(path, lib), "python3*").OrderDescending(StringComparer.Ordinal))
                    foreach (var packages in (string[])["site-packages", "dist-packages"])
                        yield return Path.Combine(python, packages, "torch", "lib");
    }

    // PyTorch says it in torch/version.py, an unpacked libtorch in build-version; both one above the libraries.
    private static string? ReadVersion(string folder)
    {
        var above = Path.GetDirectoryName(folder);
        foreach (var root in new[] { above, folder }.OfType<string>())
        {
            if (File.Exists(Path.Combine(root, "version.py")) && PythonVersion().Match(File.ReadAllText(Path.Combine(root, "version.py"))) is { Success: true } match)
                return match.Groups[1].Value;
            if (File.Exists(Path.Combine(root, "build-version")))
                return File.ReadAllText(Path.Combine(root, "build-version")).Trim();
        }
        return null;
    }

    [GeneratedRegex(@"^(\d+\.\d+)(?![\d])")]
    private static partial Regex MinorVersion();

    [GeneratedRegex(@"^__version__\s*(?::\s*str\s*)?=\s*['""]([^'""]+)['""]", RegexOptions.Multiline)]
    private static partial Regex PythonVersion();
}
