using System.Reflection;
using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Engine.Tests;

/// <summary>Places in the repository that tests read.</summary>
internal static class Repository
{
    public static string Root { get; } = Path.GetFullPath(typeof(Repository).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(a => a.Key == "RepositoryRoot").Value!);

    public static string Architectures => Path.Combine(Root, "module", "Architectures");

    private static readonly Lazy<ArchitectureCatalog> Loaded = new(() => ArchitectureCatalog.Load(Architectures));

    public static ArchitectureCatalog Catalog => Loaded.Value;
}
