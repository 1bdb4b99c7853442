using System.Management.Automation;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Execution;

namespace AwqQuantize.Commands;

/// <summary>Measures perplexity, and the distance to a reference model, of float models and AWQ checkpoints.</summary>
[Cmdlet(VerbsDiagnostic.Measure, "AwqModel", DefaultParameterSetName = PathSet)]
[OutputType(typeof(AwqMeasurement))]
public sealed class MeasureAwqModelCommand : ComputingCommand
{
    private ArchitectureCatalog catalog = null!;
    private IReadOnlyList<string> texts = [];

    /// <summary>Text files; each is also measured by itself.</summary>
    [Parameter(Mandatory = true, Position = 1)]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    public string[] Text { get; set; } = [];

    /// <summary>What the model should behave like, float or quantised.</summary>
    [Parameter(ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    [Alias("SourcePath")]
    public string? ReferencePath { get; set; }

    [Parameter]
    [ValidateRange(2, 1 << 20)]
    public int ContextLength { get; set; } = 2048;

    [Parameter]
    [ValidateRange(1, 1 << 20)]
    public int Stride { get; set; }

    /// <summary>Most tokens of each text.</summary>
    [Parameter]
    [ValidateRange(2, int.MaxValue)]
    public int MaximumToken { get; set; }

    [Parameter]
    public SwitchParameter AddBosToken { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    public string[] ArchitecturePath { get; set; } = [];

    protected override void BeginProcessing()
    {
        base.BeginProcessing();
        catalog = LoadArchitectures(ArchitecturePath);
        try
        {
            texts = [.. Text.SelectMany(ResolveWildcards)];
        }
        catch (AwqException e)
        {
            ThrowTerminatingError(ErrorRecords.From(e, Text));
        }
    }

    private protected override void ProcessFolder(string folder, string asked)
    {
        var reference = ReferencePath is null ? null : ResolveLiteral(ReferencePath);
        var options = new MeasurementOptions
        {
            Texts = texts,
            Context = ContextLength,
            Stride = IsGiven(nameof(Stride)) ? Stride : null,
            MaximumTokens = IsGiven(nameof(MaximumToken)) ? MaximumToken : null,
            AddBos = AddBosToken,
            Device = DeviceText,
        };
        Emit(RunOnEngine((observer, cancel) =>
        {
            using var model = ModelSource.Open(folder, catalog);
            using var other = reference is null ? null : ModelSource.Open(reference, catalog);
            return ModelMeasurement.Run(model, other, options, EngineProgress.To(observer, $"Measuring {System.IO.Path.GetFileName(folder)}"), cancel);
        }));
    }
}
