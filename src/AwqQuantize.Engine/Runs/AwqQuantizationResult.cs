using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Runs;

/// <summary>What a finished run made.</summary>
public sealed record AwqQuantizationResult
{
    /// <summary>Whether the run computed all of it, a part of it, or found it done.</summary>
    public RunStatus Status { get; init; }

    /// <summary>Folder of the quantised model.</summary>
    public required string Path { get; init; }

    /// <summary>Folder of the float model.</summary>
    public required string SourcePath { get; init; }

    /// <summary><c>model_type</c> of config.json.</summary>
    public required string Architecture { get; init; }

    /// <summary>Bytes of the source's tensors.</summary>
    public required long SourceSize { get; init; }

    /// <summary>Bytes of the written tensors.</summary>
    public required long Size { get; init; }

    /// <summary>Bytes of the source's tensors over those of the checkpoint's.</summary>
    public double CompressionRatio => Size > 0 ? (double)SourceSize / Size : double.NaN;

    /// <summary>Bits that a weight takes, scales and zero points included, on average over all that are quantised or stay float for their sensitivity.</summary>
    public required double BitsPerWeight { get; init; }

    public required int GroupSize { get; init; }

    /// <summary>Linears that were quantised.</summary>
    public required int QuantizedModules { get; init; }

    /// <summary>Linears that stay float, with the reason.</summary>
    public required IReadOnlyDictionary<string, string> FloatModules { get; init; }

    /// <summary>What linears cost in 4 bits, and which of them stay float for it; empty where that was not asked.</summary>
    public IReadOnlyList<ModuleSensitivity> Sensitivity { get; init; } = [];

    /// <summary>What end-to-end tuning brought; null where there was none.</summary>
    public TuningOutcome? Tuning { get; init; }

    /// <summary>Of this run alone; zero where there was nothing to do.</summary>
    public required TimeSpan Duration { get; init; }

    /// <summary>Largest resident memory of the process, in bytes.</summary>
    public required long PeakMemory { get; init; }

    /// <summary>The device it ran on, e.g. <c>cpu</c>.</summary>
    public required string Device { get; init; }

    /// <summary>Most bytes of the (first) device's own memory that were taken; 0 on the CPU.</summary>
    public long DevicePeakMemory { get; init; }

    /// <summary>In the order of the layers.</summary>
    public required IReadOnlyList<LayerOutcome> Layers { get; init; }

    public required IReadOnlyList<string> Warnings { get; init; }
}
