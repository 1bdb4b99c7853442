using System.Management.Automation;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Commands;

/// <summary>Finds model folders at or below a path and says what they hold.</summary>
[Cmdlet(VerbsCommon.Get, "AwqModel", DefaultParameterSetName = PathSet)]
[OutputType(typeof(AwqModelInfo))]
public sealed class GetAwqModelCommand : AwqCommand
{
    private const string PathSet = "Path";
    private const string LiteralPathSet = "LiteralPath";

    private ArchitectureCatalog? catalog;

    [Parameter(ParameterSetName = PathSet, Position = 0, ValueFromPipeline = true, ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    public string[] Path { get; set; } = ["."];

    [Parameter(ParameterSetName = LiteralPathSet, Mandatory = true, ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    [Alias("PSPath", "LP")]
    public string[] LiteralPath { get; set; } = [];

    /// <summary>Looks at every depth.</summary>
    [Parameter]
    public SwitchParameter Recurse { get; set; }

    /// <summary>Descriptions of architectures besides those of the module: files or folders.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string[] ArchitecturePath { get; set; } = [];

    private ArchitectureCatalog Catalog => catalog ??= LoadArchitectures(ArchitecturePath);

    protected override void ProcessRecord() =>
        ForEachFolder(ParameterSetName == LiteralPathSet ? LiteralPath : Path, ParameterSetName == LiteralPathSet, (folder, _) => WriteModels(folder));

    private void WriteModels(string folder)
    {
        try
        {
            var any = false;
            foreach (var model in ModelDiscovery.Find(folder, Catalog, Recurse, Stopped))
            {
                any = true;
                Emit(model);
            }
            if (!any)
                WriteVerbose($"No model at or below '{folder}'.");
        }
        catch (OperationCanceledException) when (Stopped.IsCancellationRequested)
        {
            throw new PipelineStoppedException();
        }
    }
}
