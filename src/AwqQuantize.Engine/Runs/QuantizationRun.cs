using System.Diagnostics;
using System.Globalization;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Packing;
using AwqQuantize.Engine.Reports;
using AwqQuantize.Engine.Tuning;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// The way of the data, from a model folder to an AWQ checkpoint: open, match the architecture, plan, read calibration rows, then
/// layer by layer quantise, write, commit; at the end put the parts together and give the folder its name.
/// </summary>
public sealed partial class QuantizationRun : IDisposable
{
    /// <summary>Rows and their length where the user says nothing.</summary>
    internal const int DefaultRows = 128, DefaultLength = 2048;

    /// <summary>The same with MaxQuality.</summary>
    internal const int MaximumRows = 512, MaximumLength = 4096;

    // Fewer calibration tokens than this make a worse model.
    private const int FewTokens = 16_384;

    // Work of a device that a run that was ended may have to do again.
    private static readonly TimeSpan MostLost = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan WorthMeasuring = TimeSpan.FromSeconds(10);

    private readonly QuantizationOptions options;
    private readonly IRunObserver observer;
    private readonly CancellationToken cancel;
    private readonly ModelFolder folder;
    private readonly ModelGraph graph;
    private readonly TokenRows? rows;
    private bool plain; // rounded without calibration
    private readonly DeviceTeam? team; // null where nothing is computed with tensors: plain rounding needs no libtorch
    private QuantizationPlan plan;
    private readonly ArchitectureCatalog catalog;
    private readonly Lazy<RunIdentity> identity;
    private TuningOutcome? tuning;
    private IReadOnlyList<ModuleSensitivity> sensitivity = [];
    private IReadOnlyDictionary<string, string> sensitive = new Dictionary<string, string>();
    private readonly List<string> warnings = [];
    private readonly Action<string>? probe;
    private long peak;

    private QuantizationRun(QuantizationOptions options, IRunObserver observer, CancellationToken cancel, Action<string>? probe, DeviceTeam? chosen)
    {
        (this.options, this.observer, this.cancel, this.probe) = (options, observer, cancel, probe);
        Destination.Check(options);
        folder = ModelFolder.Open(options.ModelPath);
        identity = new(() => new RunIdentity(folder, options, rows));
        try
        {
            if (folder.IsQuantized)
                throw new AwqException("ModelAlreadyQuantized", AwqErrorKind.NotSupported, $"'{folder.Path}' is quantised already ({folder.Config.QuantizationMethod}).", "Use the float model it was made from.");
            catalog = ArchitectureCatalog.Load([Path.Combine(options.ModuleRoot, "Architectures"), .. options.ArchitecturePath]);
            graph = catalog.Resolve(folder.Config.Root, Mxfp4.Shapes(folder));
            if (graph.MatchedByShape && options.Strict)
                throw new AwqException("ArchitectureNotSupported", AwqErrorKind.NotSupported, $"The model type '{folder.Config.ModelType}' is not known; its tensors look like {graph.Family}.",
                    "Leave -Strict out to try that, or give a description with -ArchitecturePath.");
            if (graph.MatchedByShape)
                Warn("ArchitectureGuessed", $"The model type '{folder.Config.ModelType}' is not known; its tensors and config look like {graph.Family}, and it is treated as such.");
            if (graph.LinearsOnly && options.Strict)
                throw new AwqException("ArchitectureNotSupported", AwqErrorKind.NotSupported,
                    $"The model type '{folder.Config.ModelType}' is not known, and no known architecture fits its tensors.",
                    "Give a description with -ArchitecturePath, or leave -Strict out to round its linears without calibration.");
            if (graph.LinearsOnly)
                Warn("ArchitectureUnknown", $"The model type '{folder.Config.ModelType}' is not known, and no known architecture fits its tensors: what looks like a linear is ROUNDED PLAINLY, without calibration, which is worse than AWQ. Check the result, or describe the architecture with -ArchitecturePath.");
            rows = options.NoCalibration || graph.LinearsOnly ? null : ReadRows();
            plain = rows is null;
            plan = MakePlan(MachineSpeed.Assumed);
            if (plain)
                return;
            var cpuAlone = options.ForceCpu || options.MaxQuality && options.Device == "auto";
            team = chosen ?? new DeviceTeam(Devices.ChooseAll(options.Device, cpuAlone));
            if (chosen is null && team.Lead.IsHost && !cpuAlone && options.Device == "auto" && Devices.WhyNotGpu() is { } problem)
                Warn("GpuNotUsed", $"There is a GPU, but the CPU does the work: {problem.Reason}. {problem.Remedy}");
            if (options.MaxQuality && !team.Lead.IsHost)
                Warn("MaxQualityOnDevice", $"-MaxQuality is made for the CPU; on {team} sums are made in another order and forwards in {team.Lead.ForwardType(graph.HiddenSize)}, so the result may differ from the CPU's.");
            if (!team.Lead.IsHost || plan.Duration > WorthMeasuring)
                plan = MakePlan(MachineSpeed.Measure(team.Lead, graph, rows!.Length));
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    private string DeviceName => team?.ToString() ?? "cpu";

    private string Kind => team?.Kind ?? "cpu";

    private QuantizationPlan MakePlan(MachineSpeed speed) =>
        QuantizationPlan.Make(options, graph, folder, rows?.Rows.Count ?? 0, rows?.Length ?? 0, ProcessMemory.Resident + MemoryEstimate.Warming, speed, team);

    /// <summary>What a run would do; nothing is computed or written.</summary>
    public static QuantizationPlan Plan(QuantizationOptions options, IRunObserver observer, CancellationToken cancel)
    {
        using var run = new QuantizationRun(options, observer, cancel, null, null);
        if (run.Finished() is not null)
            return run.plan with { IsDone = true };
        run.plan.Check();
        return run.plan;
    }

    /// <summary>Quantises a model. Runs on the calling thread from beginning to end.</summary>
    /// <param name="options">What is wanted.</param>
    /// <param name="observer">Told of progress, decisions and warnings.</param>
    /// <param name="cancel">Ends the run within a second; it can be taken up again.</param>
    /// <param name="probe">Called at each stage; tests let things fail there.</param>
    public static AwqQuantizationResult Execute(QuantizationOptions options, IRunObserver observer, CancellationToken cancel, Action<string>? probe = null) =>
        Execute(options, observer, cancel, probe, null);

    /// <param name="team">Where to compute; null for what the options say.</param>
    internal static AwqQuantizationResult Execute(QuantizationOptions options, IRunObserver observer, CancellationToken cancel, Action<string>? probe, DeviceTeam? team)
    {
        using var run = new QuantizationRun(options, observer, cancel, probe, team);
        return run.Execute();
    }

    public void Dispose() => folder.Dispose();

    private AwqQuantizationResult Execute()
    {
        var clock = Stopwatch.StartNew();
        if (Finished() is { } finished)
            return Tell(finished);
        plan.Check();
        ProcessMemory.ResetPeak();
        probe?.Invoke("opening");
        using var run = RunFolder.Open(plan.Path, identity.Value.On(Kind), options.Force && !options.Resume, cancel);
        if (FinishedMeanwhile(run) is { } other)
            return Tell(other);
        var first = run.FinishedLayers(graph.LayerCount);
        observer.Decision($"{graph.ModelType} with {graph.LayerCount} layers on {DeviceName}: {plan.QuantizedModules} linears to 4 bits, {plan.FloatModules.Count} stay float."
            + (run.IsResumed && rows is not null ? $" An earlier run is taken up at layer {first + 1}." : ""));
        if (team is { Lead.IsHost: false })
            observer.Decision(FusedRounding.WhyNot(team.Lead) is { } whyNot ? $"Rounding with torch's operations; kernels of our own are not used: {whyNot}." : "Rounding with kernels of our own.");
        if (graph.UnreadConfigKeys.Count > 0)
            observer.Decision($"Keys of config.json that change nothing here: {string.Join(", ", graph.UnreadConfigKeys)}.");
        observer.Decision(string.Create(CultureInfo.InvariantCulture,
            $"Predicted: {plan.PeakMemory / 1e6:F0} MB of memory ({plan.HiddenStatesMemory / 1e6:F0} MB of them hidden states{(plan.HiddenStatesOnDisk ? ", which are on disk" : "")}; limit {plan.MemoryLimit / 1e6:F0} MB){(plan.DevicePeakMemory > 0 ? $", {plan.DevicePeakMemory / 1e6:F0} MB of GPU memory{(plan.HiddenStatesOnDevice ? " with the hidden states" : "")}" : "")}, {plan.DiskBytes / 1e6:F0} MB of disk, {plan.Duration!.Value.TotalMinutes:F1} minutes."));
        var meter = new ProgressMeter(observer, $"Quantising {Path.GetFileName(folder.Path)}", plan.BeforeSeconds, plan.LayerSeconds, plan.AfterSeconds, first);
        var calibrated = plain ? [] : Calibrated(run, meter, first);
        var outcomes = plain ? PlainCheckpoint.Outcomes(graph, options) : calibrated; // a guess at the architecture may turn out wrong on the way
        if (!run.IsPlaced)
        {
            probe?.Invoke("assembling");
            Assemble(run, meter, outcomes);
            // What was rounded plainly has nothing to be tuned against.
            if (plan.Tuning is { } tuned && !plain)
                Tune(run, meter, outcomes, tuned);
            probe?.Invoke("placing");
            run.Placing();
            Destination.Place(run.Assembly, plan.Path);
            probe?.Invoke("placed");
        }
        run.Delete();
        return Result(outcomes, clock.Elapsed) with { Status = run.IsResumed ? RunStatus.Resumed : RunStatus.Quantized };
    }

    private AwqQuantizationResult Tell(AwqQuantizationResult finished)
    {
        observer.Decision($"'{plan.Path}' is finished already, with the same source and options.");
        return finished;
    }

    /// <summary>Another run may have finished the destination while this one read its text, or waited for the run folder.</summary>
    private AwqQuantizationResult? FinishedMeanwhile(RunFolder run)
    {
        if (run.IsPlaced)
            return null;
        AwqQuantizationResult? finished;
        try
        {
            Destination.Check(options);
            finished = Finished();
        }
        catch when (!run.IsResumed)
        {
            run.Delete();
            throw;
        }
        if (finished is not null && !run.IsResumed)
            run.Delete();
        return finished;
    }

    /// <summary>Brings all layers to their part files.</summary>
    private List<LayerOutcome> Calibrated(RunFolder run, ProgressMeter meter, int first)
    {
        using var inference = no_grad();
        using var model = DecoderModel.Open(graph, new FolderTensorSource(folder), team!.Lead);
        if (!File.Exists(run.OuterPart))
        {
            meter.Stage("embedding and head");
            LayerPart.WriteOuter(run.OuterPart, folder, graph);
        }
        Layers(model, run, meter, first, run.Remember(plan.Batching));
        return plain ? [] : [.. Enumerable.Range(0, graph.LayerCount).Select(run.ReadOutcome)];
    }

    /// <summary>Tunes the assembled checkpoint, and assembles it again with what came of it.</summary>
    private void Tune(RunFolder run, ProgressMeter meter, IReadOnlyList<LayerOutcome> outcomes, TuningPlan planned)
    {
        string? replacements;
        try
        {
            (tuning, replacements) = TuningStage.Run(folder, graph, catalog, run.Assembly, run, rows!, planned.Settings, Warn, meter.Tuning, cancel, probe, planned.DeviceBytes > 0 ? team!.Lead : ComputeDevice.Host);
        }
        catch (Exception e) when (options.Tuning is null && OutOfMemory.Is(e))
        {
            // Nobody asked for it, and the checkpoint is whole without it.
            Warn("TuningSkipped", $"Memory ran out ({OutOfMemory.Reason(e)}): scales and norms are not tuned end to end. The model is a little worse than it could be.");
            return;
        }
        observer.Decision($"Tuning: held-out KL {tuning.KlBefore:g4} before, {tuning.KlAfter:g4} after {tuning.BestStep} of {tuning.Steps} steps.");
        Assemble(run, meter, outcomes, replacements);
    }

    private AwqQuantizationResult? Finished() => options.Resume && !options.Force && !RunFolder.IsPlacedAt(plan.Path) ? FinishedRun.Find(plan.Path, folder.Path, identity.Value.Values) : null;

    private TokenRows ReadRows()
    {
        var data = options.CalibrationData.Count > 0 ? options.CalibrationData : [Path.Combine(options.ModuleRoot, "Calibration")];
        var length = Math.Min(options.SequenceLength ?? (options.MaxQuality ? MaximumLength : DefaultLength), graph.MaxPositions);
        var read = CalibrationText.Read(data, options.ModelPath, graph.VocabularySize, length, options.SampleCount ?? (options.MaxQuality ? MaximumRows : DefaultRows), cancel, options.Seed);
        // The tokenizer and the text are done with; what they took is given back before the weights come.
        NativeHeap.Return();
        observer.Decision($"Calibrating on {read.Rows.Count} rows of {read.Length} tokens ({read.Tokens} of {read.Available} available).");
        if (read.Tokens < FewTokens)
            Warn("FewCalibrationTokens", $"Only {read.Tokens} calibration tokens are used; with fewer than {FewTokens} the model becomes worse than it could be.");
        return read;
    }

    private void Assemble(RunFolder run, ProgressMeter meter, IReadOnlyList<LayerOutcome> outcomes, string? replacements = null)
    {
        if (Directory.Exists(run.Assembly))
            Directory.Delete(run.Assembly, recursive: true);
        Directory.CreateDirectory(run.Assembly);
        if (plain)
            CheckpointWriter.Write(run.Assembly, new PlainCheckpoint(folder, graph, options).Tensors(layer => meter.Layer(layer, "rounding", 1)), cancellation: cancel);
        meter.Stage("putting the checkpoint together");
        if (!plain)
            CheckpointAssembler.Assemble([run.OuterPart, .. outcomes.Select(o => run.LayerPart(o.Layer))], run.Assembly, replacements: replacements, cancellation: cancel);
        CarriedFiles.Copy(folder.Path, run.Assembly);
        var quantized = outcomes.SelectMany(o => o.Linears.Select(l => graph.Layers[o.Layer].Prefix + l.Module)).ToHashSet();
        // vLLM loads the experts of a layer as one module, and asks for its name.
        var experts = graph.Layers.SelectMany(l => l.Linears.Where(e => e is { Expert: >= 0, FusedWith: not null }).GroupBy(e => e.FusedWith)
            .Where(set => set.All(e => plan.FloatModules.ContainsKey(l.Prefix + e.Module))).Select(set => l.Prefix + set.Key));
        var floating = experts.Concat(plan.FloatModules.Keys).Append(graph.Head.Weight.EndsWith("lm_head.weight", StringComparison.Ordinal) ? graph.Head.Weight[..^7] : "lm_head");
        var config = AwqConfigWriter.Create(folder.Config.Root, new QuantizationConfig(options.GroupSize, ModuleExclusions.Create(floating, quantized)));
        File.WriteAllText(Path.Combine(run.Assembly, ModelFolder.ConfigFile), PythonJson.Write(config));
        ReportFile.Write(run.Assembly, Report(outcomes));
    }

    private QuantizationReport Report(IReadOnlyList<LayerOutcome> outcomes) => new()
    {
        Version = typeof(QuantizationRun).Assembly.GetName().Version!.ToString(3), Model = Path.GetFileName(folder.Path), Architecture = graph.ModelType,
        SourceSize = folder.ByteSize, Size = plan.Size, BitsPerWeight = plan.BitsPerWeight, GroupSize = options.GroupSize,
        LayerBits = [.. graph.Layers.Select(plan.BitsOf).Select(b => double.IsNaN(b) ? 0 : b)],
        QuantizedModules = outcomes.Sum(o => o.Linears.Count), FloatModules = plan.FloatModules, Sensitivity = sensitivity.Count == 0 ? null : sensitivity, Tuning = tuning, Device = Kind, Layers = outcomes,
        Identity = identity.Value.Values,
        Settings = identity.Value.On(Kind).Where(f => f.Key is not ("Source" or "CalibrationTokens" or "Version")).Append(new("CalibrationRows", (rows?.Rows.Count ?? 0).ToString(CultureInfo.InvariantCulture)))
            .ToDictionary(),
    };

    private AwqQuantizationResult Result(IReadOnlyList<LayerOutcome> outcomes, TimeSpan duration) => new()
    {
        Path = plan.Path, SourcePath = folder.Path, Architecture = graph.ModelType, SourceSize = folder.ByteSize, Size = plan.Size,
        BitsPerWeight = plan.BitsPerWeight, GroupSize = options.GroupSize, QuantizedModules = outcomes.Sum(o => o.Linears.Count),
        FloatModules = plan.FloatModules, Sensitivity = sensitivity, Tuning = tuning, Duration = duration, PeakMemory = Math.Max(peak, Peak()),
        Device = DeviceName, DevicePeakMemory = team?.Lead.PeakMemory ?? 0, Layers = outcomes, Warnings = warnings,
    };

    /// <summary>Most memory since this was last asked.</summary>
    private long Peak()
    {
        var now = ProcessMemory.Peak;
        peak = Math.Max(peak, now);
        ProcessMemory.ResetPeak();
        return now;
    }

    private void Warn(string id, string message)
    {
        warnings.Add(message);
        observer.Warning(id, message);
    }
}
