using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Xml.Linq;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

public sealed partial class TorchLibraryTests : IDisposable
{
    private const string AnswerVariable = "AWQ_TEST_TORCH_PROBE";
    private static readonly string[] Libraries = OperatingSystem.IsWindows() ? ["c10.dll", "torch_cpu.dll", "torch.dll"] : ["libc10.so", "libtorch_cpu.so", "libtorch.so"];

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData("lib/python3.12/site-packages/torch", "")]
    [InlineData("lib/python3.12/site-packages/torch", "lib/python3.12/site-packages")]
    [InlineData("lib/python3.12/site-packages/torch", "lib/python3.12/site-packages/torch")]
    [InlineData("lib/python3.12/site-packages/torch", "lib/python3.12/site-packages/torch/lib")]
    [InlineData("lib/python3/dist-packages/torch", "")]
    [InlineData("Lib/site-packages/torch", "")]
    [InlineData("libtorch", "libtorch")]
    public void IsFoundFromWhereAUserWouldPoint(string package, string given)
    {
        Lay(package, "version.py", "from typing import Optional\n__all__ = ['__version__', 'debug', 'cuda']\n__version__ = '2.10.1+cu128'\ndebug = False\n");
        var found = TorchLibrary.Find(Path.Combine(temporary.Path, given));
        Assert.Equal(Path.Combine(temporary.Path, package, "lib"), found.Folder);
        Assert.Equal("2.10.1+cu128", found.Version);
    }

    [Theory]
    [InlineData("2.10.0")]
    [InlineData("2.11.0+cu130")]
    public void VersionsThatWereSeenToWorkAreTaken(string version) => Assert.True(TorchLibrary.Fits(version));

    [Fact]
    public void AnUnpackedLibtorchNamesItsVersionInAFile()
    {
        Lay("libtorch", "build-version", "2.10.0+cpu\n");
        Assert.Equal("2.10.0+cpu", TorchLibrary.Find(temporary.File("libtorch")).Version);
    }

    [Theory]
    [InlineData("2.9.1+cu128")]
    [InlineData("2.1.0")]
    [InlineData("2.100.0")]
    [InlineData("3.10.0")]
    [InlineData("unknown")]
    public void AnotherVersionIsRefusedBeforeAnythingIsLoaded(string version)
    {
        Lay("torch", "version.py", $"__version__ = \"{version}\"\n");
        var error = Assert.Throws<AwqException>(() => TorchLibrary.Find(temporary.File("torch")));
        Assert.Equal("TorchLibraryMismatch", error.Id);
        Assert.Contains(version, error.Message);
        Assert.Contains(TorchLibrary.NeededVersion, error.Message);
        Assert.Contains("pip install", error.Remedy);
    }

    /// <summary>Whoever compiles TorchSharp's library for the PyTorch at hand can use that, whatever its version.</summary>
    [Fact]
    public void AnotherVersionIsTakenWithALibraryOfTorchSharpsMadeForIt()
    {
        Lay("torch", "version.py", "__version__ = '2.12.0+cu130'\n");
        Assert.Contains(TorchLibrary.Bridge, Assert.Throws<AwqException>(() => TorchLibrary.Find(temporary.Path)).Remedy);
        File.WriteAllText(Path.Combine(temporary.Path, "torch", "lib", TorchLibrary.Bridge), "");
        Assert.Equal("2.12.0+cu130", TorchLibrary.Find(temporary.Path).Version);
    }

    [Fact]
    public void WhereThereIsNoneTheErrorSaysHowToFindIt()
    {
        var error = Assert.Throws<AwqException>(() => TorchLibrary.Find(temporary.Path));
        Assert.Equal("TorchLibraryMissing", error.Id);
        Assert.Contains("torch.__file__", error.Remedy);
    }

    [Fact]
    public void TheVersionIsThatOfThePackage()
    {
        var packages = XDocument.Load(SharedData.Repository("Directory.Packages.props"));
        var version = packages.Descendants("PackageVersion").Single(p => p.Attribute("Include")!.Value == "libtorch-cpu-linux-x64").Attribute("Version")!.Value;
        Assert.True(TorchLibrary.Fits(version), $"{version} is used, {TorchLibrary.NeededVersion} is checked");
    }

    [Fact]
    public void OneProcessHoldsOneLibtorch()
    {
        Lay("torch", "version.py", "__version__ = '2.10.0'\n");
        Assert.Equal("TorchLibraryLoaded", Assert.Throws<AwqException>(() => TorchRuntime.Use(temporary.File("torch"))).Id);
        TorchRuntime.Use(TorchRuntime.Library.Folder);
    }

    /// <summary>A PyTorch's libtorch is what a process loads and computes with, while TorchSharp's own library stays the module's.</summary>
    [Fact]
    public void AnInstalledPyTorchIsLoaded()
    {
        var lib = temporary.File("venv/lib/python3.12/site-packages/torch/lib");
        Directory.CreateDirectory(lib);
        foreach (var file in Directory.GetFiles(TorchRuntime.NativeDirectory).Where(f => !Path.GetFileName(f).Contains("LibTorchSharp", StringComparison.Ordinal)))
            Link(file, Path.Combine(lib, Path.GetFileName(file)));
        File.WriteAllText(Path.Combine(lib, "..", "version.py"), "__version__ = '2.10.0+cpu'\n");

        var answer = temporary.File("answer.txt");
        var start = new ProcessStartInfo("dotnet", [typeof(TorchLibraryTests).Assembly.Location, "-method", $"*.{nameof(TorchLibraryTests)}.{nameof(Probe)}", "-explicit", "only"])
        {
            RedirectStandardOutput = true,
            Environment = { [AnswerVariable] = answer, [TorchRuntime.PathVariable] = temporary.File("venv") },
        };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, output);
        var loaded = File.ReadAllLines(answer);
        Assert.Equal("6", loaded[0]);
        foreach (var library in Libraries.Where(l => l != "libtorch.so"))
            Assert.Equal(Path.Combine(lib, library), Assert.Single(loaded, l => Path.GetFileName(l) == library));
        // It would bring CUDA's half along.
        Assert.DoesNotContain(loaded, l => Path.GetFileName(l) == "libtorch.so");
        Assert.Single(loaded, l => Path.GetDirectoryName(l) == TorchRuntime.NativeDirectory && Path.GetFileName(l).Contains("LibTorchSharp", StringComparison.Ordinal));
    }

    [Fact(Explicit = true)]
    public void Probe()
    {
        using var sum = TorchSharp.torch.tensor(new[] { 1f, 2f, 3f }).sum();
        File.WriteAllLines(Environment.GetEnvironmentVariable(AnswerVariable)!,
            [$"{sum.item<float>()}", .. Process.GetCurrentProcess().Modules.Cast<ProcessModule>().Select(m => m.FileName).Where(f => f.Contains("torch", StringComparison.OrdinalIgnoreCase) || f.Contains("c10")).Distinct()]);
    }

    // Half a gigabyte: linked where the file system can.
    private static void Link(string file, string to)
    {
        if (OperatingSystem.IsWindows() || link(file, to) != 0)
            File.Copy(file, to);
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int link(string from, string to);

    /// <summary>The files of a libtorch, empty: finding it reads none of them.</summary>
    private void Lay(string package, string versionFile, string version)
    {
        var lib = Path.Combine(temporary.Path, package, "lib");
        Directory.CreateDirectory(lib);
        foreach (var library in Libraries)
            File.WriteAllText(Path.Combine(lib, library), "");
        File.WriteAllText(Path.Combine(temporary.Path, package, versionFile), version);
    }
}
