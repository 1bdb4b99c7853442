using System.Management.Automation;
using AwqQuantize.Completion;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Commands;

/// <summary>The model families that can be quantised.</summary>
[Cmdlet(VerbsCommon.Get, "AwqArchitecture")]
[OutputType(typeof(ArchitectureSummary))]
public sealed class GetAwqArchitectureCommand : AwqCommand
{
    /// <summary>Name or model type.</summary>
    [Parameter(Position = 0, ValueFromPipeline = true)]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    [ArgumentCompleter(typeof(ArchitectureCompleter))]
    public string[] Name { get; set; } = ["*"];

    /// <summary>Descriptions besides those of the module: files or folders.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string[] ArchitecturePath { get; set; } = [];

    protected override void ProcessRecord()
    {
        var known = Summaries();
        foreach (var name in Name)
        {
            var pattern = WildcardPattern.Get(name, WildcardOptions.IgnoreCase);
            var found = known.Where(a => pattern.IsMatch(a.Name) || a.ModelTypes.Any(pattern.IsMatch)).ToList();
            foreach (var architecture in found)
                Emit(architecture);
            if (found.Count == 0 && !WildcardPattern.ContainsWildcardCharacters(name))
            {
                WriteError(new AwqException("ArchitectureNotSupported", AwqErrorKind.NotFound, $"No architecture is called '{name}'.",
                    "Get-AwqArchitecture lists the known ones; describe another in a JSON file and pass it with -ArchitecturePath."), name);
            }
        }
    }

    /// <summary>A description that reads well may still not make a graph.</summary>
    private IReadOnlyList<ArchitectureSummary> Summaries()
    {
        try
        {
            return LoadArchitectures(ArchitecturePath).Summaries;
        }
        catch (AwqException e)
        {
            ThrowTerminatingError(ErrorRecords.From(e, ArchitecturePath));
            throw;
        }
    }
}
