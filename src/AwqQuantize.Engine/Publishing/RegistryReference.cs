using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Publishing;

/// <summary>A name in an OCI registry, e.g. <c>ghcr.io/me/llama-awq:v1</c>.</summary>
/// <param name="Host">Host with its port, e.g. <c>localhost:5000</c>.</param>
/// <param name="Repository">Path below it.</param>
/// <param name="Tag">Tag; <c>latest</c> where none was given.</param>
public sealed partial record RegistryReference(string Host, string Repository, string Tag)
{
    /// <summary>Reads it as docker does: without a host it is Docker Hub's.</summary>
    /// <exception cref="AwqException"><c>RegistryReferenceInvalid</c>.</exception>
    public static RegistryReference Parse(string text)
    {
        var slash = text.IndexOf('/');
        var first = slash < 0 ? "" : text[..slash];
        var hasHost = first.Contains('.') || first.Contains(':') || first == "localhost";
        var host = hasHost ? first : "docker.io";
        var rest = hasHost ? text[(slash + 1)..] : text;
        var colon = rest.LastIndexOf(':');
        var tag = colon < 0 ? "latest" : rest[(colon + 1)..];
        var repository = colon < 0 ? rest : rest[..colon];
        if (!hasHost && !repository.Contains('/'))
            repository = "library/" + repository;
        if (!HostPattern().IsMatch(host) || !RepositoryPattern().IsMatch(repository) || repository.Length > 255 || !TagPattern().IsMatch(tag))
        {
            throw new AwqException("RegistryReferenceInvalid", AwqErrorKind.InvalidArgument, $"'{text}' is no name in a registry.",
                "Write host/path:tag with a path in lower case, e.g. ghcr.io/me/llama-3-8b-awq:v1.");
        }
        return new RegistryReference(host, repository, tag);
    }

    /// <summary>Where the registry's API is: without encryption on this machine only.</summary>
    internal Uri Address
    {
        get
        {
            var host = Host == "docker.io" ? "registry-1.docker.io" : Host;
            var plain = new Uri($"http://{host}/");
            return plain.IsLoopback ? plain : new Uri($"https://{host}/");
        }
    }

    public override string ToString() => $"{Host}/{Repository}:{Tag}";

    [GeneratedRegex(@"\A(([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?\z")]
    private static partial Regex HostPattern();

    [GeneratedRegex(@"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z")]
    private static partial Regex RepositoryPattern();

    [GeneratedRegex(@"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\z")]
    private static partial Regex TagPattern();
}
