using System.Management.Automation;

namespace AwqQuantize.Commands;

/// <summary>
/// A cmdlet that does one thing to each of many folders: they are named with wildcards, literally, or by the pipeline, and what
/// goes wrong with one gives one error record and does not keep the others from their turn.
/// </summary>
public abstract class ModelFolderCommand : AwqCommand
{
    private protected const string PathSet = "Path";
    private protected const string LiteralPathSet = "LiteralPath";

    [Parameter(ParameterSetName = PathSet, Mandatory = true, Position = 0, ValueFromPipeline = true, ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    public string[] Path { get; set; } = [];

    [Parameter(ParameterSetName = LiteralPathSet, Mandatory = true, ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    [Alias("PSPath", "LP")]
    public string[] LiteralPath { get; set; } = [];

    private protected bool IsGiven(string parameter) => MyInvocation.BoundParameters.ContainsKey(parameter);

    protected override void ProcessRecord() =>
        ForEachFolder(ParameterSetName == LiteralPathSet ? LiteralPath : Path, ParameterSetName == LiteralPathSet, ProcessFolder);

    /// <summary>Does the cmdlet's work on one folder; an exception becomes an error record about it.</summary>
    /// <param name="folder">Absolute path; it need not exist.</param>
    /// <param name="asked">What an error record names: the path as it was given, or one of several that match it.</param>
    private protected abstract void ProcessFolder(string folder, string asked);
}
