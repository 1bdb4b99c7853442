using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Runs;

/// <summary>What a run will do and need, known before anything is computed.</summary>
public sealed record QuantizationPlan
{
    /// <summary>Folder of the float model.</summary>
    public required string SourcePath { get; init; }

    /// <summary>Destination.</summary>
    public required string Path { get; init; }

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

    /// <summary>Bits that a quantised weight takes, scales and zero points included.</summary>
    public required double BitsPerWeight { get; init; }

    /// <summary>Bytes that the run writes at most at one time: parts, the assembled checkpoint, hidden states.</summary>
    public required long DiskBytes { get; init; }

    /// <summary>Predicted peak of resident memory, in bytes.</summary>
    public required long PeakMemory { get; init; }

    /// <summary>Bytes of it that a layer takes while it is worked on; what a device must have, hidden states apart.</summary>
    public required long LayerMemory { get; init; }

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

    /// <summary>Makes the plan of a run.</summary>
    /// <param name="options">What is wanted.</param>
    /// <param name="graph">The model.</param>
    /// <param name="folder">Its weights.</param>
    /// <param name="rows">Calibration rows; 0 without calibration.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="resident">Bytes that the process holds already; 0 for a fresh one.</param>
    /// <param name="speed">Of the machine, where a duration is wanted.</param>
    public static QuantizationPlan Make(QuantizationOptions options, ModelGraph graph, ModelFolder folder, int rows, int length, long resident = 0, MachineSpeed? speed = null)
    {
        var floating = new Dictionary<string, string>();
        var work = new List<WorkEstimate>();
        long packed = 0, weights = 0;
        var count = 0;
        var memory = new MemoryEstimate(graph, options, rows, length);
        var limit = options.MemoryLimit ?? ProcessMemory.Available;
        var start = Math.Max(resident, MemoryEstimate.FreshProcess);
        var batching = Batching.Choose(memory, rows, length, limit - start, options.Settings.KeptInputBytes, out var onDisk);
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
            work.Add(WorkEstimate.Of(layer, kept, settings, (long)rows * length, length));
        }
        var tensors = packed + folder.Tensors.Values.Sum(t => 2 * t.ElementCount) - 2 * weights;
        var total = work.Aggregate(WorkEstimate.None, (a, b) => a + b) + Surroundings(graph, folder, work, rows, length, tensors);
        var hidden = onDisk ? 0 : memory.HiddenStates;
        return new QuantizationPlan
        {
            SourcePath = folder.Path, Path = Destination.Of(options), Architecture = graph.ModelType, Layers = graph.LayerCount, GroupSize = options.GroupSize,
            QuantizedModules = count, FloatModules = floating, Rows = rows, SequenceLength = length, Size = tensors,
            BitsPerWeight = weights == 0 ? 0 : 8.0 * packed / weights, DiskBytes = 2 * tensors + (onDisk ? 3 : 2) * memory.HiddenStates, HiddenStatesOnDisk = onDisk,
            Batching = batching, LayerWork = work, Work = total, MemoryLimit = limit, HiddenStatesMemory = hidden,
            PeakMemory = start + hidden + memory.Working(batching.RowsAtOnce, batching.KeptInputBytes),
            LayerMemory = memory.Working(batching.RowsAtOnce, batching.KeptInputBytes),
            Speed = speed,
            LayerSeconds = [.. work.Select(w => speed is null ? w.Matrix + w.Fits + w.Bytes : w.Seconds(speed))],
            Duration = speed is null ? null : TimeSpan.FromSeconds(total.Seconds(speed)),
        };
    }

    /// <summary>The float model over a little text, and the checkpoint's files.</summary>
    private static WorkEstimate Surroundings(ModelGraph graph, ModelFolder folder, List<WorkEstimate> layers, int rows, int length, long size)
    {
        const double SanityTokens = 512;
        var forward = rows == 0 ? 0 : layers.Sum(w => w.Forward) * Math.Min(1, SanityTokens / ((double)rows * length)) + 2 * SanityTokens * graph.HiddenSize * graph.VocabularySize;
        return new WorkEstimate(0, forward, 0, (rows == 0 ? 1 : 2) * folder.ByteSize + 2.0 * size);
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

    private static long QuantizedBytes(long weights, int groupSize) => weights / 2 + weights / groupSize * 2 + weights / groupSize / 2;
}
