using System.Reflection;

namespace AwqQuantize.Benchmarks;

/// <summary>Where the checkout is that this was built from.</summary>
internal static class Repository
{
    public static string Root { get; } = Path.GetFullPath(typeof(Repository).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(a => a.Key == "RepositoryRoot").Value!);
}
