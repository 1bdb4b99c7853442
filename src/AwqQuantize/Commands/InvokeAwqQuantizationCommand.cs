using System.Diagnostics;
using System.Management.Automation;
using AwqQuantize.Binding;
using AwqQuantize.Completion;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Execution;

namespace AwqQuantize.Commands;

/// <summary>Turns model folders into 4-bit AWQ checkpoints.</summary>
[Cmdlet(VerbsLifecycle.Invoke, "AwqQuantization", DefaultParameterSetName = PathSet, SupportsShouldProcess = true, ConfirmImpact = ConfirmImpact.Medium)]
[OutputType(typeof(AwqQuantizationResult))]
public sealed class InvokeAwqQuantizationCommand : ComputingCommand, IDisposable
{
    private readonly HashSet<string> destinations = new(StringComparer.Ordinal);
    private IReadOnlyList<string> calibrationFiles = [];
    private IReadOnlyList<string> architectureFiles = [];
    private readonly Stopwatch clock = new();
    private AwqRunSummary summary = new();
    private ParallelRuns<AwqQuantizationResult>? parallel;
    private ParallelProgress? progress;

    /// <summary>Destination; it takes a script block to name one per model of a pipeline.</summary>
    [Parameter(ValueFromPipelineByPropertyName = true)]
    [ValidateNotNullOrEmpty]
    public string? OutputPath { get; set; }

    [Parameter]
    public SwitchParameter MaxQuality { get; set; }

    [Parameter]
    [ValidateRange(4.0, 16.0)]
    public double MaxBitsPerWeight { get; set; } = 4.5;

    [Parameter]
    [ValidateRange(0, 100_000)]
    public int TuningStepCount { get; set; }

    [Parameter]
    public SwitchParameter ForceCpu { get; set; }

    [Parameter]
    [ValidateSet("32", "64", "128")]
    public int GroupSize { get; set; } = 128;

    [Parameter]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    public string[] CalibrationData { get; set; } = [];

    [Parameter]
    [ValidateRange(1, 65536)]
    public int SampleCount { get; set; }

    [Parameter]
    [ValidateRange(16, 131072)]
    public int SequenceLength { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    [ArgumentCompleter(typeof(ModuleNameCompleter))]
    public string[] ExcludeModule { get; set; } = [];

    [Parameter]
    [ByteSize]
    [ValidateRange(1L << 20, long.MaxValue)]
    public long MemoryLimit { get; set; }

    /// <summary>Most models at once; fewer where memory does not allow more.</summary>
    [Parameter]
    [ValidateRange(1, 64)]
    public int ThrottleLimit { get; set; } = 1;

    [Parameter]
    public RoundingMode Rounding { get; set; } = RoundingMode.Compensated;

    [Parameter]
    public SwitchParameter NoCalibration { get; set; }

    [Parameter]
    public SwitchParameter CalibrateEveryExpert { get; set; }

    [Parameter]
    public SwitchParameter Strict { get; set; }

    [Parameter]
    public int Seed { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    public string[] ArchitecturePath { get; set; } = [];

    [Parameter]
    public SwitchParameter Resume { get; set; }

    [Parameter]
    public SwitchParameter Force { get; set; }

    private bool IsWhatIf => MyInvocation.BoundParameters.TryGetValue("WhatIf", out var given) ? ((SwitchParameter)given).IsPresent
        : LanguagePrimitives.IsTrue(SessionState.PSVariable.GetValue("WhatIfPreference"));

    protected override void BeginProcessing()
    {
        base.BeginProcessing();
        if (ForceCpu && DeviceRequest.Parse(DeviceText).Gpus.Count > 0)
            Refuse("OptionsContradict", $"-ForceCpu and -Device {DeviceText} contradict each other.", "Leave one of them out.", DeviceText);
        if (NoCalibration && (CalibrationData.Length > 0 || IsGiven(nameof(SampleCount)) || IsGiven(nameof(SequenceLength)) || MaxQuality || CalibrateEveryExpert || TuningStepCount > 0))
        {
            Refuse("OptionsContradict", "-NoCalibration looks at no text, so -CalibrationData, -SampleCount, -SequenceLength, -MaxQuality, -CalibrateEveryExpert and -TuningStepCount mean nothing with it.",
                "Leave -NoCalibration out, or the others.", null);
        }
        if (IsGiven(nameof(MaxBitsPerWeight)) && !MaxQuality)
            Refuse("OptionsContradict", "-MaxBitsPerWeight is for linears that -MaxQuality keeps in float16; without it none are kept.", "Add -MaxQuality, or leave it out.", MaxBitsPerWeight);
        clock.Start();
        if (ThrottleLimit > 1)
        {
            parallel = new ParallelRuns<AwqQuantizationResult>(ThrottleLimit, PlanEstimate.MemoryForRuns(IsGiven(nameof(MemoryLimit)) ? MemoryLimit : null), Stopped);
            progress = new ParallelProgress(WriteProgress);
        }
        calibrationFiles = ResolveAll(CalibrationData);
        architectureFiles = ResolveAll(ArchitecturePath);
    }

    protected override void ProcessRecord()
    {
        try
        {
            base.ProcessRecord();
        }
        catch when (parallel is not null)
        {
            Abandon();
            throw;
        }
    }

    protected override void EndProcessing()
    {
        try
        {
            WaitUntil(() => parallel is null or { Count: 0 });
        }
        catch
        {
            Abandon();
            throw;
        }
        progress?.Dispose();
        if (summary.Total > 1)
            WriteInformation(summary with { Duration = clock.Elapsed }, ["AwqSummary"]);
    }

    /// <summary>Also when another command of the pipeline ended it: nobody would hear of these runs any more.</summary>
    public void Dispose() => parallel?.Dispose();

    private protected override void WriteError(Exception error, object? target)
    {
        summary = summary with { Failed = summary.Failed + 1 };
        base.WriteError(error, target);
    }

    private protected override void ProcessFolder(string folder, string asked)
    {
        var options = Options(folder);
        var destination = Destination.Of(options);
        if (!destinations.Add(destination))
        {
            throw new AwqException("OutputPathShared", AwqErrorKind.InvalidArgument,
                $"'{destination}' is the destination of an earlier model of this pipeline already.",
                "Give each model its own: -OutputPath { \"quantized/$($_.Name)\" }.");
        }
        // Asked before the hours of work. What -WhatIf prints is the plan, for which everything is checked that a run checks.
        var what = IsWhatIf ? PlanText.Of(RunOnEngine((observer, cancellation) => QuantizationRun.Plan(options, observer, cancellation)))
            : $"Quantise '{folder}' to '{destination}'";
        if (!ShouldProcess(what, $"Quantise '{folder}' to '{destination}'?", "Invoke-AwqQuantization"))
        {
            summary = summary with { Skipped = summary.Skipped + 1 };
            return;
        }
        if (parallel is null)
            Write(RunOnEngine((observer, cancellation) => QuantizationRun.Execute(options, observer, cancellation)));
        else
            Start(options, asked);
    }

    /// <summary>Waits until there is room for another run.</summary>
    private void Start(QuantizationOptions options, string asked)
    {
        var memory = PlanEstimate.MemoryBeside(PlanEstimate.Of(options));
        var name = System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(options.ModelPath));
        if (!parallel!.HasRoomFor(memory))
            WriteVerbose($"{name} needs about {Display.Size(memory)}: it waits for another run to end.");
        WaitUntil(() => parallel.HasRoomFor(memory));
        parallel.Start(asked, name, memory, (observer, cancellation) => QuantizationRun.Execute(options, observer, cancellation));
        Collect();
    }

    private void WaitUntil(Func<bool> reached)
    {
        while (!reached())
        {
            if (Stopped.IsCancellationRequested)
                throw new PipelineStoppedException();
            if (!Collect())
                Stopped.WaitHandle.WaitOne(50);
        }
    }

    /// <summary>Writes what the runs said, and the results of those that have ended.</summary>
    /// <returns>Whether any has.</returns>
    private bool Collect()
    {
        var ended = parallel!.Collect((run, said) => Write(said, run.Name));
        foreach (var run in ended)
        {
            progress!.End(run.Slot);
            Attempt(run.Target, () => Write(run.Job.Result()));
        }
        if (progress!.IsDue)
            progress.Report($"{summary.Total - summary.Failed} done, {summary.Failed} failed, {parallel.Count} running", parallel.Progress);
        return ended.Count > 0;
    }

    /// <summary>Ends all runs, each of which stays resumable, within the time that stopping may take.</summary>
    private void Abandon()
    {
        parallel?.Cancel(StopPatience);
        if (!Stopped.IsCancellationRequested)
            progress?.Dispose();
    }

    private void Write(AwqQuantizationResult result)
    {
        summary = result.Status switch
        {
            RunStatus.Resumed => summary with { Resumed = summary.Resumed + 1 },
            RunStatus.AlreadyDone => summary with { AlreadyDone = summary.AlreadyDone + 1 },
            _ => summary with { Quantized = summary.Quantized + 1 },
        };
        Emit(result);
    }

    private QuantizationOptions Options(string folder) => new()
    {
        ModelPath = folder,
        ModuleRoot = ModuleRoot,
        OutputPath = OutputPath is null ? null : ResolveLiteral(OutputPath),
        MaxQuality = MaxQuality,
        TuningSteps = IsGiven(nameof(TuningStepCount)) ? TuningStepCount : null,
        MaxBitsPerWeight = MaxBitsPerWeight,
        Device = DeviceText,
        ForceCpu = ForceCpu,
        GroupSize = GroupSize,
        CalibrationData = calibrationFiles,
        SampleCount = IsGiven(nameof(SampleCount)) ? SampleCount : null,
        SequenceLength = IsGiven(nameof(SequenceLength)) ? SequenceLength : null,
        ExcludeModule = ExcludeModule,
        MemoryLimit = IsGiven(nameof(MemoryLimit)) ? MemoryLimit : null,
        Resume = Resume,
        Force = Force,
        Rounding = Rounding,
        NoCalibration = NoCalibration,
        CalibrateEveryExpert = CalibrateEveryExpert,
        Strict = Strict,
        Seed = Seed,
        ArchitecturePath = architectureFiles,
    };

    /// <summary>What does not exist here dooms every model.</summary>
    private List<string> ResolveAll(string[] paths)
    {
        var resolved = new List<string>();
        foreach (var path in paths)
        {
            try
            {
                var found = ResolveWildcards(path);
                if (found.FirstOrDefault(f => !System.IO.Path.Exists(f)) is { } missing)
                    Refuse("PathNotFound", $"There is no '{missing}'.", "Check the path.", path, AwqErrorKind.NotFound);
                resolved.AddRange(found);
            }
            catch (AwqException e)
            {
                ThrowTerminatingError(ErrorRecords.From(e, path));
            }
        }
        return resolved;
    }

    private void Refuse(string id, string message, string remedy, object? target, AwqErrorKind kind = AwqErrorKind.InvalidArgument) =>
        ThrowTerminatingError(ErrorRecords.From(new AwqException(id, kind, message, remedy), target));
}
