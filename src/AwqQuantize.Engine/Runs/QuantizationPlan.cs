using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;

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

    /// <summary>Predicted peak of a device's memory without hidden states, in bytes: the largest layer and what is worked on it.</summary>
    public required long LayerBytes { get; init; }

    /// <summary>Whether hidden states are kept on disk from the start.</summary>
    public required bool HiddenStatesOnDisk { get; init; }

    /// <summary>Rows that run at once.</summary>
    public required int RowsAtOnce { get; init; }

    /// <summary>Floating-point operations of one forward of all calibration tokens through the layers.</summary>
    public required double ForwardOperations { get; init; }

    // Resident after libtorch and the runtime are up, plus what the allocators keep.
    private const long Baseline = 260L << 20;

    // Tokens that run at once: enough for the matrix kernels' peak, few enough to stay small.
    private const int TokensAtOnce = 2048;

    /// <summary>Makes the plan of a run.</summary>
    /// <param name="options">What is wanted.</param>
    /// <param name="graph">The model.</param>
    /// <param name="folder">Its weights.</param>
    /// <param name="rows">Calibration rows.</param>
    /// <param name="length">Tokens per row.</param>
    public static QuantizationPlan Make(QuantizationOptions options, ModelGraph graph, ModelFolder folder, int rows, int length)
    {
        var floating = new Dictionary<string, string>();
        long packed = 0, weights = 0, layerBytes = 0, gram = 0, widest = 0, largestLinear = 0;
        var (count, operations) = (0, 0.0);
        foreach (var layer in graph.Layers)
        {
            var kept = ModuleSelection.StayFloat(layer, options.GroupSize, options.ExcludeModule);
            long bytes = layer.Parameters.Sum(p => p.Shape.Aggregate(4L, (a, b) => a * b)), inLayer = 0;
            foreach (var linear in layer.Linears)
            {
                var size = (long)linear.In * linear.Out;
                if (linear.Expert < 0)
                    operations += 2.0 * size * rows * length;
                if (kept.TryGetValue(linear.Module, out var reason))
                {
                    floating[layer.Prefix + linear.Module] = reason;
                    continue;
                }
                count++;
                weights += size;
                packed += QuantizedBytes(size, options.GroupSize);
                inLayer += size;
                gram = Math.Max(gram, 4L * linear.In * linear.In);
                widest = Math.Max(widest, Math.Max(linear.In, linear.Out));
                largestLinear = Math.Max(largestLinear, 4 * size);
            }
            layerBytes = Math.Max(layerBytes, bytes + inLayer);
        }
        var size_ = packed + folder.Tensors.Values.Sum(t => 2 * t.ElementCount) - 2 * weights;
        var hidden = 4L * rows * length * graph.HiddenSize;
        var limit = options.MemoryLimit ?? FreeMemory();
        var atOnce = Math.Max(1, Math.Min(rows, TokensAtOnce / Math.Max(1, length)));
        // A layer with its codes; H, its permuted copy and its factor; a linear's errors, targets and columns; one micro-batch.
        var working = Baseline + layerBytes + 3 * gram + 3 * largestLinear + 4L * atOnce * Math.Max(1, length) * (3 * widest + 4 * graph.HiddenSize);
        var onDisk = rows > 0 && working + hidden > limit * 0.9;
        return new QuantizationPlan
        {
            SourcePath = folder.Path, Path = Destination.Of(options), Architecture = graph.ModelType, Layers = graph.LayerCount, GroupSize = options.GroupSize,
            QuantizedModules = count, FloatModules = floating, Rows = rows, SequenceLength = length, Size = size_,
            BitsPerWeight = weights == 0 ? 0 : 8.0 * packed / weights, DiskBytes = 2 * size_ + 3 * hidden, HiddenStatesOnDisk = onDisk,
            RowsAtOnce = atOnce, ForwardOperations = operations,
            PeakMemory = working + (onDisk ? 0 : hidden), LayerBytes = working - Baseline,
        };
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

    private static long FreeMemory() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
}
