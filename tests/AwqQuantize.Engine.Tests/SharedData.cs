using System.Reflection;

namespace AwqQuantize.Engine.Tests;

/// <summary>Test data: what is in the repository, and what lies beside it in <c>../shared</c>.</summary>
internal static class SharedData
{
    /// <summary>Root of the repository.</summary>
    public static string RepositoryRoot { get; } = Path.GetFullPath(typeof(SharedData).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(a => a.Key == "RepositoryRoot").Value!);

    /// <summary>Full path of something in the repository, e.g. <c>tests/data/tiny/llama</c>.</summary>
    public static string Repository(string relative) => Path.Combine(RepositoryRoot, relative);

    /// <summary>
    /// Full path of something in <c>../shared</c> (or <c>AWQ_SHARED</c>). Skips the test where that is absent, and fails it
    /// under continuous integration, where it has to be there.
    /// </summary>
    public static string Require(string relative)
    {
        var root = Environment.GetEnvironmentVariable("AWQ_SHARED") is { Length: > 0 } chosen ? chosen : Path.Combine(RepositoryRoot, "..", "shared");
        var path = Path.GetFullPath(Path.Combine(root, relative));
        if (File.Exists(path) || Directory.Exists(path))
            return path;
        var message = $"../shared is not there: this test needs {relative}.";
        if (Environment.GetEnvironmentVariable("CI") == "true")
            Assert.Fail(message);
        Assert.Skip(message);
        return path;
    }
}
