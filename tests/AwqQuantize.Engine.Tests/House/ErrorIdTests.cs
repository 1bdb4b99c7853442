using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Tests.House;

/// <summary>Whoever meets an error finds its identifier in the README.</summary>
public sealed partial class ErrorIdTests
{
    [Fact]
    public void TheReadmeNamesEveryIdentifier()
    {
        var ids = Directory.GetFiles(Path.Combine(Repository.Root, "src"), "*.cs", SearchOption.AllDirectories)
            .SelectMany(f => Raised().Matches(File.ReadAllText(f))).Select(m => m.Groups[1].Value).ToHashSet();
        Assert.True(ids.Count > 80, $"only {ids.Count} identifiers are seen");
        var readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md"));
        var named = Named().Matches(readme).Select(m => m.Groups[1].Value).ToList();
        // A row may stand for all that begin alike: `Hub…`.
        var missing = ids.Where(i => !named.Contains(i) && !named.Exists(n => n.EndsWith('…') && i.StartsWith(n[..^1], StringComparison.Ordinal))).Order(StringComparer.Ordinal);
        Assert.Empty(missing);
    }

    [GeneratedRegex(@"(?:AwqException|=> new|throw new)\(\s*""([A-Z][A-Za-z0-9]+)"",\s*AwqErrorKind")]
    private static partial Regex Raised();

    [GeneratedRegex(@"`([A-Z][A-Za-z0-9]+…?)`")]
    private static partial Regex Named();
}
