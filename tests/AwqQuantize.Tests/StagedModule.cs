using System.Reflection;

namespace AwqQuantize.Tests;

/// <summary>Where the build staged the module, and where the repository is.</summary>
internal static class StagedModule
{
    public static string Root => Metadata("ModuleStageRoot");

    public static string Manifest => Path.Combine(Root, "AwqQuantize.psd1");

    public static string Natives => Metadata("ModuleStageNatives");

    public static string Repository => Path.GetFullPath(Metadata("RepositoryRoot"));

    public static string Sample => Path.Combine(Repository, "samples", "stories-llama");

    public static string Metadata(string key) =>
        typeof(StagedModule).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
