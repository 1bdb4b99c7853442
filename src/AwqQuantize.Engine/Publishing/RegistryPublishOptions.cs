namespace AwqQuantize.Engine.Publishing;

/// <summary>How a checkpoint goes to an OCI registry.</summary>
public sealed record RegistryPublishOptions
{
    /// <summary>Name and password; null: what <see cref="RegistryCredentials.Find(string)"/> finds.</summary>
    public RegistryCredentials? Credentials { get; init; }

    /// <summary>Bytes that are sent in one request; what was sent before is not sent again when a request fails.</summary>
    public int ChunkBytes { get; init; } = 64 << 20;

    /// <summary>The model's licence as an SPDX expression, or null.</summary>
    public string? License { get; init; }

    /// <summary>Text that is published as README.md in place of the folder's own; null: the folder's.</summary>
    public string? ModelCard { get; init; }

    /// <summary>Pause after a first failure; tests make it short.</summary>
    internal TimeSpan FirstPause { get; init; } = TimeSpan.FromSeconds(1);
}

/// <summary>A finished publication in a registry; the manifest was read back, and every blob's size was compared.</summary>
/// <param name="Reference">Name with its tag.</param>
/// <param name="Digest">Of the manifest.</param>
/// <param name="PinnedReference">Name that always means this content: <c>host/path@sha256:…</c>.</param>
/// <param name="FilesSent">Files that were uploaded.</param>
/// <param name="FilesPresent">Files that the registry held already.</param>
/// <param name="BytesSent">Bytes of the former.</param>
public sealed record RegistryPublishResult(
    string Reference, string Digest, string PinnedReference, int FilesSent, int FilesPresent, long BytesSent);
