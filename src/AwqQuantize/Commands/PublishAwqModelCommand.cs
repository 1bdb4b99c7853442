using System.Management.Automation;
using System.Security;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Publishing;
using AwqQuantize.Execution;

namespace AwqQuantize.Commands;

/// <summary>Publishes finished checkpoints on a Hugging Face Hub or in an OCI registry.</summary>
[Cmdlet(VerbsData.Publish, "AwqModel", DefaultParameterSetName = HubSet, SupportsShouldProcess = true, ConfirmImpact = ConfirmImpact.Medium)]
[OutputType(typeof(AwqPublishResult))]
public sealed class PublishAwqModelCommand : AwqCommand
{
    private const string HubSet = "Hub";
    private const string RegistrySet = "Registry";

    /// <summary>Folder of the quantised model, taken as written: one name is given to what is published.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    [Alias("LiteralPath", "PSPath", "LP")]
    public string Path { get; set; } = "";

    [Parameter(ParameterSetName = HubSet, Mandatory = true, Position = 1, ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    public string Repository { get; set; } = "";

    [Parameter(ParameterSetName = HubSet)]
    [ValidateNotNull]
    public SecureString? Token { get; set; }

    [Parameter(ParameterSetName = HubSet)]
    [ValidateNotNull]
    public Uri? Endpoint { get; set; }

    [Parameter(ParameterSetName = HubSet)]
    [ValidateNotNullOrEmpty]
    public string Revision { get; set; } = "main";

    [Parameter(ParameterSetName = HubSet)]
    [ValidateNotNullOrEmpty]
    public string Message { get; set; } = "Upload AWQ checkpoint";

    [Parameter(ParameterSetName = HubSet)]
    public SwitchParameter Private { get; set; }

    [Parameter(ParameterSetName = HubSet)]
    public SwitchParameter CreatePullRequest { get; set; }

    [Parameter(ParameterSetName = RegistrySet, Mandatory = true, ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    public string Reference { get; set; } = "";

    [Parameter(ParameterSetName = RegistrySet)]
    [ValidateNotNull]
    public PSCredential? Credential { get; set; }

    [Parameter(ParameterSetName = RegistrySet)]
    [ValidateNotNullOrEmpty]
    public string? License { get; set; }

    protected override void ProcessRecord()
    {
        Attempt(Path, () =>
        {
            var folder = ResolveLiteral(Path);
            var target = ParameterSetName == RegistrySet ? RegistryReference.Parse(Reference).ToString() : Repository;
            if (ShouldProcess(target, $"Publish '{folder}'"))
                Emit(ParameterSetName == RegistrySet ? ToRegistry(folder, target) : ToHub(folder, target));
        });
    }

    private AwqPublishResult ToHub(string folder, string target)
    {
        var options = new HubPublishOptions(Repository)
        {
            Token = Token is null ? null : Secret.From(Token),
            Endpoint = Endpoint,
            Private = Private,
            Revision = Revision,
            CreatePullRequest = CreatePullRequest,
            Message = Message,
        };
        var done = RunBeside((observer, cancellation) =>
            HubPublisher.Publish(folder, options, new PublishProgressRelay($"Publishing to {target}", observer), cancellation));
        return new AwqPublishResult
        {
            Path = folder, Target = done.Repository, Version = done.CommitId, Url = (done.PullRequestUrl ?? done.Url)?.ToString(),
            FilesSent = done.FilesSent, FilesUnchanged = done.FilesUnchanged, BytesSent = done.BytesSent,
        };
    }

    private AwqPublishResult ToRegistry(string folder, string target)
    {
        var options = new RegistryPublishOptions
        {
            Credentials = Credential is null ? null : new RegistryCredentials(Credential.UserName, Secret.From(Credential.Password)),
            License = License,
        };
        var done = RunBeside((observer, cancellation) => RegistryPublisher.Publish(
            folder, RegistryReference.Parse(Reference), options, new PublishProgressRelay($"Publishing to {target}", observer), cancellation));
        return new AwqPublishResult
        {
            Path = folder, Target = done.Reference, Version = done.Digest,
            FilesSent = done.FilesSent, FilesUnchanged = done.FilesPresent, BytesSent = done.BytesSent,
        };
    }
}
