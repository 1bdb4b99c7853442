namespace AwqQuantize.Engine.Publishing;

/// <summary>Where on a Hugging Face Hub a checkpoint goes.</summary>
/// <param name="Repository"><c>name</c> in the user's own namespace, or <c>namespace/name</c>.</param>
public sealed record HubPublishOptions(string Repository)
{
    /// <summary>Token with the right to write; null: <see cref="HubToken.Find()"/>.</summary>
    public Secret? Token { get; init; }

    /// <summary>Address of the hub; null: <c>HF_ENDPOINT</c>, or https://huggingface.co.</summary>
    public Uri? Endpoint { get; init; }

    /// <summary>Whether a repository that is created is private.</summary>
    public bool Private { get; init; }

    /// <summary>Branch; created from main where it does not exist.</summary>
    public string Revision { get; init; } = "main";

    /// <summary>Whether the commit opens a pull request against <see cref="Revision"/>.</summary>
    public bool CreatePullRequest { get; init; }

    /// <summary>First line of the commit message.</summary>
    public string Message { get; init; } = "Upload AWQ checkpoint";

    /// <summary>Text that is published as README.md in place of the folder's own; null: the folder's.</summary>
    public string? ModelCard { get; init; }

    /// <summary>Pause after a first failure; tests make it short.</summary>
    internal TimeSpan FirstPause { get; init; } = TimeSpan.FromSeconds(1);
}

/// <summary>A finished publication on a hub; every file was compared with the hub's listing of the commit.</summary>
/// <param name="Repository">With its namespace.</param>
/// <param name="CommitId">The commit that holds the files; the branch's head where nothing had to be sent.</param>
/// <param name="Url">Page of the repository at that commit.</param>
/// <param name="PullRequestUrl">Null where none was opened.</param>
/// <param name="FilesSent">Files that were new or changed.</param>
/// <param name="FilesUnchanged">Files that the branch held already.</param>
/// <param name="BytesSent">Bytes of large files that were uploaded; those that the hub's storage held already are not among them.</param>
public sealed record HubPublishResult(
    string Repository, string Revision, string CommitId, string Url, string? PullRequestUrl, int FilesSent, int FilesUnchanged, long BytesSent);
