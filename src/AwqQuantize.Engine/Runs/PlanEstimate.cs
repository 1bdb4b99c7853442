using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Runs;

/// <summary>The plan of a run from the headers of the weights alone: no text is read, so it takes as many calibration tokens as there may be.</summary>
public static class PlanEstimate
{
    /// <summary>Opens the model for it.</summary>
    /// <exception cref="AwqException">The model is missing, damaged or not supported.</exception>
    public static QuantizationPlan Of(QuantizationOptions options)
    {
        using var folder = ModelFolder.Open(options.ModelPath);
        var graph = ArchitectureCatalog.Load([Path.Combine(options.ModuleRoot, "Architectures"), .. options.ArchitecturePath])
            .Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape, StringComparer.Ordinal));
        return Of(options, graph, folder);
    }

    /// <summary>What a run takes of a process that others run in too: its share beyond what any process has, in bytes.</summary>
    public static long MemoryBeside(QuantizationPlan plan) => Math.Max(1, plan.PeakMemory - MemoryEstimate.FreshProcess);

    /// <summary>The rest of a limit, once the process itself has its share.</summary>
    public static long MemoryForRuns(long? limit) => (limit ?? ProcessMemory.Available) - MemoryEstimate.FreshProcess;

    internal static QuantizationPlan Of(QuantizationOptions options, ModelGraph graph, ModelFolder folder)
    {
        if (options.NoCalibration)
            return QuantizationPlan.Make(options, graph, folder, 0, 0, speed: RoughSpeed.OfProcessor);
        var rows = options.SampleCount ?? (options.MaxQuality ? QuantizationRun.MaximumRows : QuantizationRun.DefaultRows);
        var length = options.SequenceLength ?? (options.MaxQuality ? QuantizationRun.MaximumLength : QuantizationRun.DefaultLength);
        return QuantizationPlan.Make(options, graph, folder, rows, Math.Min(length, graph.MaxPositions), speed: RoughSpeed.OfProcessor);
    }
}
