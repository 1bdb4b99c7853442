using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Isolation;

/// <summary>
/// Where everything third-party of this module lives: assemblies from <c>dependencies/</c>, natives from the folder of
/// libtorch and from <c>dependencies/runtimes/&lt;rid&gt;/native</c>. Other modules may load other versions of the same.
/// </summary>
internal sealed class DependencyContext : AssemblyLoadContext
{
    private static readonly string ModuleFolder = Path.GetDirectoryName(typeof(DependencyContext).Assembly.Location)!;
    private static readonly string Dependencies = Path.Combine(ModuleFolder, "dependencies");
    private static readonly Lazy<DependencyContext> Instance = new(() => new DependencyContext());
    private static int registered;

    private DependencyContext() : base("AwqQuantize dependencies")
    {
    }

    /// <summary>Answers from now on what the module's own assemblies ask for. Once per process, however many runspaces import the module.</summary>
    public static void Register()
    {
        if (Interlocked.Exchange(ref registered, 1) == 0)
            AppDomain.CurrentDomain.AssemblyResolve += (_, request) => Resolve(request);
    }

    /// <summary>Nobody else's requests are answered, so that another module's dependency never comes from here.</summary>
    private static Assembly? Resolve(ResolveEventArgs request)
    {
        if (request.RequestingAssembly is not { } asking || asking.IsDynamic || Path.GetDirectoryName(asking.Location) != ModuleFolder)
            return null;
        var name = new AssemblyName(request.Name);
        return FileOf(name) is null ? null : Instance.Value.LoadFromAssemblyName(name);
    }

    protected override Assembly? Load(AssemblyName assemblyName) =>
        FileOf(assemblyName) is { } file ? LoadFromAssemblyPath(file) : null;

    protected override nint LoadUnmanagedDll(string unmanagedDllName)
    {
        foreach (var folder in (string[])[TorchRuntime.Library.Folder, TorchRuntime.NativeDirectory, Path.Combine(Dependencies, "runtimes", RuntimeInformation.RuntimeIdentifier, "native"),
            Path.Combine(Dependencies, "runtimes", OperatingSystem.IsWindows() ? "win-x64" : "linux-x64", "native")])
        {
            foreach (var spelling in Spellings(unmanagedDllName))
            {
                if (Path.Combine(folder, spelling) is var file && File.Exists(file))
                    return LoadUnmanagedDllFromPath(file);
            }
        }
        return 0;
    }

    private static string[] Spellings(string name) =>
        OperatingSystem.IsWindows() ? [name, name + ".dll"] : [name, $"lib{name}.so", name + ".so", "lib" + name];

    private static string? FileOf(AssemblyName name) =>
        Path.Combine(Dependencies, name.Name + ".dll") is var file && File.Exists(file) ? file : null;
}
