using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Runs;

/// <summary>What a run will do and need, known before anything is computed.</summary>
public sealed record QuantizationPlan
{
    /// <summary>Folder of the float model.</summary>
    public required string SourcePath { get; init; }

    /// <summary>Destination.</summary>
    public required string Path { get; init; }

    /// <summary>Whether the destination holds what the run would make already.</summary>
    public bool IsDone { get; init; }

    public required string Architecture { get; init; }

    public required int Layers { get; init; }

    public required int GroupSize { get; init; }

    /// <summary>Linears that will be quantised.</summary>
    public required int QuantizedModules { get; init; }

    /// <summary>Linears that stay float, with the reason, by full name.</summary>
    public required IReadOnlyDictionary<string, string> FloatModules { get; init; }

    /// <summary>Calibration rows and their length; both 0 without calibration.</summary>
    public required int Rows { get; init; }

    public required int SequenceLength { get; init; }

    /// <summary>Bytes of tensors in the finished checkpoint.</summary>
    public required long Size { get; init; }

    /// <summary>Bits that a weight takes, scales and zero points included, on average over all that are quantised or stay float for their sensitivity.</summary>
    public required double BitsPerWeight { get; init; }

    /// <summary>Weights in that average.</summary>
    public required long Weights { get; init; }

    /// <summary>How it is found out which linears stay float for their sensitivity; null where none are looked for, or the budget has no room for any.</summary>
    public required SensitivityPlan? Sensitivity { get; init; }

    /// <summary>Whether the hidden states of that are kept on disk.</summary>
    public required bool MeasuredOnDisk { get; init; }

    /// <summary>How the model's loss is followed back to the outputs of its linears; null where it is not.</summary>
    public GradientPlan? Gradients { get; init; }

    /// <summary>Of <see cref="BeforeSeconds"/> the part that finds out which linears stay float, 0 to 1; the rest follows the loss back.</summary>
    public double SensitivityShare { get; init; } = 1;

    /// <summary>End-to-end tuning after the layers; null where there is none.</summary>
    public TuningPlan? Tuning { get; init; }

    /// <summary>Bytes that the run writes at most at one time: parts, the assembled checkpoint, hidden states.</summary>
    public required long DiskBytes { get; init; }

    /// <summary>Predicted peak of resident memory, in bytes.</summary>
    public required long PeakMemory { get; init; }

    /// <summary>Bytes of a device's own memory that a layer takes while it is worked on; 0 on the CPU.</summary>
    public long DeviceLayerMemory { get; init; }

    /// <summary>Whether hidden states are kept in the device's memory as well.</summary>
    public bool HiddenStatesOnDevice { get; init; }

    /// <summary>Predicted peak of the (first) device's own memory, in bytes; 0 on the CPU.</summary>
    public long DevicePeakMemory => Math.Max(DeviceLayerMemory + (HiddenStatesOnDevice ? HiddenStatesBytes : 0), Math.Max(Tuning?.DeviceBytes ?? 0, DeviceLayerMemory > 0 ? Gradients?.WorkingBytes ?? 0 : 0));

    /// <summary>Bytes of the hidden states, wherever they are.</summary>
    public required long HiddenStatesBytes { get; init; }

    /// <summary>Bytes of it that are hidden states; 0 where they are on disk.</summary>
    public required long HiddenStatesMemory { get; init; }

    /// <summary>Bytes that the run tries to get along with: the user's limit, or what is free.</summary>
    public required long MemoryLimit { get; init; }

    /// <summary>Whether hidden states are kept on disk from the start.</summary>
    public required bool HiddenStatesOnDisk { get; init; }

    /// <summary>Rows that run at once, and most bytes of inputs that are kept to leave a block.</summary>
    public required Batching Batching { get; init; }

    /// <summary>Work of each layer.</summary>
    public required IReadOnlyList<WorkEstimate> LayerWork { get; init; }

    /// <summary>Work of all layers, and of what surrounds them.</summary>
    public required WorkEstimate Work { get; init; }

    /// <summary>Of the machine; null where it was not measured.</summary>
    public MachineSpeed? Speed { get; init; }

    /// <summary>Predicted time, as busy as the machine is now; null where its speed was not measured.</summary>
    public TimeSpan? Duration { get; init; }

    /// <summary>Predicted seconds of each layer, or, where the machine's speed was not measured, its work in any unit.</summary>
    public IReadOnlyList<double> LayerSeconds { get; init; } = [];

    /// <summary>The same of what comes before the layers: finding out which linears stay float for their sensitivity, following the loss back.</summary>
    public double BeforeSeconds { get; init; }

    /// <summary>The same of tuning.</summary>
    public double AfterSeconds { get; init; }

    /// <summary>Makes the plan of a run.</summary>
    /// <param name="options">What is wanted.</param>
    /// <param name="graph">The model.</param>
    /// <param name="folder">Its weights.</param>
    /// <param name="rows">Calibration rows; 0 without calibration.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="resident">Bytes that the process holds already; 0 for a fresh one.</param>
    /// <param name="speed">Of the machine, where a duration is wanted.</param>
    /// <param name="team">Where layers are worked on; null for the CPU.</param>
    public static QuantizationPlan Make(QuantizationOptions options, ModelGraph graph, ModelFolder folder, int rows, int length, long resident = 0, MachineSpeed? speed = null, DeviceTeam? team = null)
    {
        var floating = new Dictionary<string, string>();
        var work = new List<WorkEstimate>();
        long packed = 0, weights = 0;
        var count = 0;
        var memory = new MemoryEstimate(graph, options, rows, length);
        var limit = options.MemoryLimit ?? ProcessMemory.Available;
        var start = Math.Max(resident, rows == 0 ? MemoryEstimate.FreshWithoutTorch : MemoryEstimate.FreshProcess);
        var batching = Batching.Choose(memory, rows, length, limit - start, options.Settings.KeptInputBytes, out var onDisk);
        var free = team is { Lead.IsHost: false } && rows > 0 ? team.Lead.FreeMemory : 0;
        var there = free > 0 ? Batching.ForDevice(memory, rows, length, team!, free, options.Settings.KeptInputBytes) : null;
        batching = there ?? batching;
        var onDevice = there is null ? 0 : memory.OnDevice(team!.Lead, batching.RowsAtOnce, batching.KeptInputBytes);
        var settings = options.Settings with { KeptInputBytes = batching.KeptInputBytes };
        foreach (var layer in graph.Layers)
        {
            var kept = ModuleSelection.StayFloat(layer, options.GroupSize, options.ExcludeModule);
            foreach (var linear in layer.Linears)
            {
                var size = (long)linear.In * linear.Out;
                if (kept.TryGetValue(linear.Module, out var reason))
                {
                    floating[layer.Prefix + linear.Module] = reason;
                    continue;
                }
                count++;
                weights += size;
                packed += QuantizedBytes(size, options.GroupSize);
            }
            work.Add(WorkEstimate.Of(layer, kept, settings, (long)rows * length, length, speed?.Layer?.Forward));
        }
        var carried = graph.OuterTensors.Concat(graph.Layers.SelectMany(l => l.Parameters.Select(p => p.Stored))).Distinct()
            .Sum(t => t.Shape.Aggregate(t.KeepFloat32 ? 4L : 2L, (a, b) => a * b));
        var tensors = packed + carried - 2 * weights;
        var bits = weights == 0 ? 0 : 8.0 * packed / weights;
        var sensitivity = options.MaxQuality && rows > 0
            ? SensitivityPlan.Make(graph, l => ModuleSelection.StayFloat(l, options.GroupSize, options.ExcludeModule), bits, options.MaxBitsPerWeight, rows, length) : null;
        var total = work.Aggregate(WorkEstimate.None, (a, b) => a + b) + Surroundings(graph, folder, work, rows, length, tensors);
        var forwardPerToken = work.Sum(w => w.Forward) / Math.Max(1, (double)rows * length);
        var measured = sensitivity is null ? WorkEstimate.None : Measuring(graph, options, sensitivity, forwardPerToken, speed?.Layer?.Forward);
        var gradients = options.Settings.FollowsGradients && rows > 0 ? GradientPlan.Make(graph, rows, length, forwardPerToken, limit - start) : null;
        var before = measured + (gradients?.Work ?? WorkEstimate.None);
        var tuning = rows == 0 ? null : Tune(options.Tuning) ?? (options.TuningSteps is null ? Small(Tune(TuningSettings.Short((long)rows * length, onDevice > 0))) : null);
        var after = tuning?.Work ?? WorkEstimate.None;
        total += before + after;
        var hiddenOnDevice = onDevice > 0 && onDevice + memory.HiddenStates < free * 0.9;
        var hidden = onDisk || hiddenOnDevice ? 0 : memory.HiddenStates;
        long Working(long keptInputs) => onDevice > 0 ? memory.BesideDevice(team!.Lead) : memory.Working(batching.RowsAtOnce, keptInputs);
        // The measurement comes before the hidden states of all rows, and has a layer twice: as it is, and with something of it quantised.
        var measuring = Working(0) + 4 * graph.Layers.Max(l => l.ElementCount);
        var measuredOnDisk = start + measuring + (sensitivity?.HiddenBytes ?? 0) > 0.9 * limit;
        measuring = sensitivity is null ? 0 : measuring + (measuredOnDisk ? 0 : sensitivity.HiddenBytes);
        var followed = gradients is null ? 0 : gradients.HeldBytes + (onDevice > 0 ? memory.BesideDevice(team!.Lead) : gradients.WorkingBytes);
        var tuned = tuning is null ? 0 : tuning.MemoryBytes + (onDevice > 0 ? team!.Lead.HostOverhead : 0);
        return new QuantizationPlan
        {
            SourcePath = folder.Path, Path = Destination.Of(options), Architecture = graph.ModelType, Layers = graph.LayerCount, GroupSize = options.GroupSize,
            QuantizedModules = count, FloatModules = floating, Rows = rows, SequenceLength = length, Size = tensors,
            BitsPerWeight = bits, Weights = weights, Sensitivity = sensitivity, Gradients = gradients, Tuning = tuning, MeasuredOnDisk = measuredOnDisk,
            DiskBytes = rows == 0 ? tensors : 2 * (tensors + 2 * (sensitivity?.SpareWeights ?? 0)) + (onDisk ? 3 : 2) * memory.HiddenStates + (tuning?.DiskBytes ?? 0) + (gradients?.DiskBytes ?? 0), HiddenStatesOnDisk = onDisk,
            Batching = batching, LayerWork = work, Work = total, MemoryLimit = limit, HiddenStatesMemory = hidden,
            PeakMemory = start + Math.Max(Math.Max(Math.Max(measuring, followed), tuned), hidden + Working(batching.KeptInputBytes)),
            DeviceLayerMemory = onDevice, HiddenStatesOnDevice = hiddenOnDevice, HiddenStatesBytes = memory.HiddenStates,
            Speed = speed,
            LayerSeconds = [.. work.Select(Seconds)], BeforeSeconds = Seconds(before), SensitivityShare = gradients is null ? 1 : Seconds(measured) / Seconds(before), AfterSeconds = Seconds(after),
            Duration = speed is null ? null : TimeSpan.FromSeconds(total.Seconds(speed)),
        };

        double Seconds(WorkEstimate part) => speed is null ? part.Matrix + part.Fits + part.Bytes : part.Seconds(speed);

        TuningPlan? Tune(TuningSettings? tuned) => tuned is null ? null
            : TuningPlan.Make(graph, options.Tuning is null ? tuned : onDevice > 0 ? tuned.OnDevice(weights, options.TuningSteps is not null, (long)(0.9 * free)) : tuned.OnHost(weights, options.TuningSteps is not null),
                options.GroupSize, forwardPerToken, (long)rows * length, weights, onDevice > 0);

        // Nobody asked for it, so it stays within what the layers may take, and within what the user says; what happens to be free at
        // the moment decides nothing about the result. On a device it is for models that fit as a whole: to read layers again at each
        // step would take longer than the layers did.
        TuningPlan? Small(TuningPlan? tuned) => tuned is null ? null
            : (onDevice > 0 ? TuningMemory.Of(graph, tuned.Settings, onDevice: true).WeightsStay : tuned.MemoryBytes <= memory.Promised - MemoryEstimate.FreshProcess)
                && tuned.MemoryBytes <= (options.MemoryLimit ?? long.MaxValue) - start ? tuned : null;
    }

    /// <summary>The float model over a little text, and the checkpoint's files.</summary>
    private static WorkEstimate Surroundings(ModelGraph graph, ModelFolder folder, List<WorkEstimate> layers, int rows, int length, long size)
    {
        const double SanityTokens = 512;
        var forward = rows == 0 ? 0 : layers.Sum(w => w.Forward) * Math.Min(1, SanityTokens / ((double)rows * length)) + 2 * SanityTokens * graph.HiddenSize * graph.VocabularySize;
        return new WorkEstimate(0, forward, 0, rows == 0 ? size : 2.0 * folder.ByteSize + 2.0 * size);
    }

    /// <summary>The same plan once it is known what stays float for its sensitivity.</summary>
    /// <param name="reasons">By full name.</param>
    /// <param name="weights">Elements of these linears.</param>
    public QuantizationPlan Keeping(IReadOnlyDictionary<string, string> reasons, long weights) => this with
    {
        FloatModules = FloatModules.Concat(reasons).ToDictionary(), QuantizedModules = QuantizedModules - reasons.Count,
        Size = Size + 2 * weights - QuantizedBytes(weights, GroupSize), BitsPerWeight = BitsPerWeight + (16 - BitsPerWeight) * weights / Weights,
    };

    /// <summary>Each set is quantised on its own; all streams go through the layers, those of the shortlist on to the logits.</summary>
    private static WorkEstimate Measuring(ModelGraph graph, QuantizationOptions options, SensitivityPlan plan, double forwardPerToken, double? beside)
    {
        var settings = SensitivityStage.Settings(options);
        var statistics = (long)plan.StatisticsPieces * plan.PieceLength;
        var measured = (double)plan.MeasuredPieces * plan.PieceLength;
        var total = new WorkEstimate(0, forwardPerToken / graph.LayerCount * (plan.LayerForwards * measured + graph.LayerCount * statistics)
            + 2.0 * (plan.Shortlist + 1) * measured * graph.HiddenSize * graph.VocabularySize, 0, 0);
        foreach (var set in plan.Sets)
        {
            var layer = graph.Layers[set.Layer];
            var others = layer.Linears.Where(l => !set.Modules.Contains(l.Module)).ToDictionary(l => l.Module, _ => "");
            total += WorkEstimate.Of(layer, others, settings, statistics, plan.PieceLength, beside);
        }
        return total;
    }

    /// <summary>Refuses what cannot end well.</summary>
    /// <exception cref="AwqException"><c>DiskFull</c>, <c>NothingToQuantize</c>.</exception>
    public void Check()
    {
        if (QuantizedModules == 0)
            throw new AwqException("NothingToQuantize", AwqErrorKind.NotSupported,
                $"No linear of '{SourcePath}' can be quantised with group size {GroupSize} ({FloatModules.Count} stay float; the first: {FloatModules.Select(f => $"{f.Key}, {f.Value}").FirstOrDefault()}).",
                "Try a smaller -GroupSize, or exclude less.");
        var parent = System.IO.Path.GetDirectoryName(Path)!;
        while (!Directory.Exists(parent) && System.IO.Path.GetDirectoryName(parent) is { } up)
            parent = up;
        var free = new DriveInfo(parent).AvailableFreeSpace;
        if (free < DiskBytes)
            throw new AwqException("DiskFull", AwqErrorKind.LimitExceeded,
                $"The run needs {DiskBytes / 1e9:F1} GB of disk at '{parent}', {free / 1e9:F1} GB are free.", "Free space, or choose another destination with -OutputPath.");
    }

    /// <summary>Bits per weight of a layer's linears, those aside that are never quantised (routers, say); NaN where there are no others.</summary>
    public double BitsOf(LayerGraph layer)
    {
        long bytes = 0, weights = 0;
        foreach (var linear in layer.Linears.Where(l => l.KeepFloatReason is null))
        {
            var size = (long)linear.In * linear.Out;
            weights += size;
            bytes += FloatModules.ContainsKey(layer.Prefix + linear.Module) ? 2 * size : QuantizedBytes(size, GroupSize);
        }
        return 8.0 * bytes / weights;
    }

    private static long QuantizedBytes(long weights, int groupSize) => weights / 2 + weights / groupSize * 2 + weights / groupSize / 2;
}
