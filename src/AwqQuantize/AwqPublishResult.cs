namespace AwqQuantize;

/// <summary>A finished publication, verified against what the other side lists.</summary>
public sealed record AwqPublishResult
{
    /// <summary>The folder that was published.</summary>
    public required string Path { get; init; }

    /// <summary>The repository of a hub, or the reference of a registry.</summary>
    public required string Target { get; init; }

    /// <summary>The commit of a hub, or the digest of a registry's manifest: always means this content.</summary>
    public required string Version { get; init; }

    /// <summary>Page of the commit or of the pull request; null for a registry.</summary>
    public string? Url { get; init; }

    public required int FilesSent { get; init; }

    /// <summary>Files that were there already.</summary>
    public required int FilesUnchanged { get; init; }

    public required long BytesSent { get; init; }
}
