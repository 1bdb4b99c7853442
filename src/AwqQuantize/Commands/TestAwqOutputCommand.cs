using System.Management.Automation;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Execution;

namespace AwqQuantize.Commands;

/// <summary>Checks a finished AWQ checkpoint.</summary>
[Cmdlet(VerbsDiagnostic.Test, "AwqOutput", DefaultParameterSetName = PathSet)]
[OutputType(typeof(AwqTestResult), typeof(bool))]
public sealed class TestAwqOutputCommand : ComputingCommand
{
    /// <summary>Without a text of the user's this much of a few of the module's own is read.</summary>
    private static readonly string[] OwnTexts = ["narrative.txt", "science.txt", "dialogue.txt"];
    private const int OwnTokens = 1024;

    private ArchitectureCatalog catalog = null!;
    private IReadOnlyList<string> texts = [];

    /// <summary>The float model; by default the folder above the checkpoint, when that holds one.</summary>
    [Parameter(ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    public string? SourcePath { get; set; }

    [Parameter]
    [ValidateRange(1, 1024)]
    public int[] TensorParallelSize { get; set; } = [1];

    /// <summary>Text files to measure on; by default a little of the module's own text.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    public string[] Text { get; set; } = [];

    [Parameter]
    [ValidateRange(0.0, 1e6)]
    public double MaximumKl { get; set; }

    [Parameter]
    [ValidateRange(0.0, 1e6)]
    public double MaximumPerplexityRatio { get; set; }

    /// <summary>What the quantised model continues, as a sample.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? Prompt { get; set; }

    [Parameter]
    public SwitchParameter NoMeasurement { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    public string[] ArchitecturePath { get; set; } = [];

    /// <summary>Gives only whether all checks passed.</summary>
    [Parameter]
    public SwitchParameter Quiet { get; set; }

    protected override void BeginProcessing()
    {
        base.BeginProcessing();
        catalog = LoadArchitectures(ArchitecturePath);
        if (NoMeasurement && (Text.Length > 0 || IsGiven(nameof(MaximumKl)) || IsGiven(nameof(MaximumPerplexityRatio))))
        {
            ThrowTerminatingError(ErrorRecords.From(new AwqException("OptionsContradict", AwqErrorKind.InvalidArgument,
                "-NoMeasurement measures nothing, so -Text, -MaximumKl and -MaximumPerplexityRatio mean nothing with it.", "Leave -NoMeasurement out, or the others."), null));
        }
        texts = NoMeasurement ? [] : Text.Length > 0 ? [.. Text.SelectMany(Resolve)] : [.. OwnTexts.Select(t => System.IO.Path.Combine(ModuleRoot, "Calibration", t))];
    }

    private protected override void ProcessFolder(string folder, string asked)
    {
        var source = SourcePath is null ? SourceAbove(folder) : ResolveLiteral(SourcePath);
        var options = new OutputTestOptions
        {
            Path = folder,
            SourcePath = source,
            TensorParallelSizes = TensorParallelSize,
            Texts = texts,
            MaximumTokens = Text.Length > 0 ? null : OwnTokens,
            MaximumKl = IsGiven(nameof(MaximumKl)) ? MaximumKl : null,
            MaximumPerplexityRatio = IsGiven(nameof(MaximumPerplexityRatio)) ? MaximumPerplexityRatio : null,
            Prompt = Prompt,
            Device = DeviceText,
        };
        var result = RunOnEngine((observer, cancel) =>
            OutputTest.Run(options, catalog, EngineProgress.To(observer, $"Checking {System.IO.Path.GetFileName(folder)}"), cancel));
        foreach (var check in result.Checks.Where(c => c.Status is CheckStatus.Failed or CheckStatus.Warning))
            WriteVerbose($"{check.Status}: {check.Name} {check.Subject}: {check.Message}");
        Emit(Quiet ? result.Passed : result);
    }

    /// <summary>A destination lies inside its model's folder unless the user says otherwise.</summary>
    private string? SourceAbove(string folder)
    {
        var above = System.IO.Path.GetDirectoryName(System.IO.Path.TrimEndingDirectorySeparator(folder));
        if (above is null || !File.Exists(System.IO.Path.Combine(above, ModelFolder.ConfigFile)))
        {
            WriteVerbose($"There is no source beside '{folder}': what needs it is not checked (-SourcePath).");
            return null;
        }
        WriteVerbose($"The source is taken to be '{above}'.");
        return above;
    }

    private IReadOnlyList<string> Resolve(string path)
    {
        try
        {
            return ResolveWildcards(path);
        }
        catch (AwqException e)
        {
            ThrowTerminatingError(ErrorRecords.From(e, path));
            throw;
        }
    }
}
