using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Reports;

/// <summary>
/// What is known about a finished checkpoint: what its folder says about itself, and, right after the run, how long that took. The
/// file in the folder holds nothing that differs between two runs that make the same bytes.
/// </summary>
public sealed record QuantizationReport
{
    /// <summary>Of the program that wrote the checkpoint.</summary>
    public required string Version { get; init; }

    /// <summary>Name of the float model's folder.</summary>
    public required string Model { get; init; }

    public required string Architecture { get; init; }

    /// <summary>Bytes of the source's tensors.</summary>
    public required long SourceSize { get; init; }

    /// <summary>Bytes of the checkpoint's tensors.</summary>
    public required long Size { get; init; }

    public required double BitsPerWeight { get; init; }

    /// <summary>Bits per weight of each layer's linears, routers and the like aside; 0 for a layer without others.</summary>
    public IReadOnlyList<double> LayerBits { get; init; } = [];

    public required int GroupSize { get; init; }

    public required int QuantizedModules { get; init; }

    /// <summary>Linears that stayed float, with the reason, by full name.</summary>
    public required IReadOnlyDictionary<string, string> FloatModules { get; init; }

    /// <summary>What linears cost in 4 bits, measured before the quantisation; null where that was not asked.</summary>
    public IReadOnlyList<ModuleSensitivity>? Sensitivity { get; init; }

    /// <summary>What end-to-end tuning brought; null where there was none.</summary>
    public TuningOutcome? Tuning { get; init; }

    /// <summary>Kind of device, e.g. <c>cpu</c>.</summary>
    public required string Device { get; init; }

    /// <summary>Options of the run, by name.</summary>
    public required IReadOnlyDictionary<string, string> Settings { get; init; }

    /// <summary>What determined the checkpoint, by name: hashes of the source and of the calibration tokens, options.</summary>
    public IReadOnlyDictionary<string, string> Identity { get; init; } = new Dictionary<string, string>();

    /// <summary>In the order of the layers; seconds by stage only right after the run.</summary>
    public required IReadOnlyList<LayerOutcome> Layers { get; init; }

    /// <summary>Null but right after the run.</summary>
    public TimeSpan? Duration { get; init; }

    /// <summary>Bytes; null but right after the run.</summary>
    public long? PeakMemory { get; init; }

    /// <summary>Of the run; those of layers are with the layers.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Adds what only the run itself knows; one that found everything done knows nothing.</summary>
    public QuantizationReport With(AwqQuantizationResult result) => result.Status == RunStatus.AlreadyDone ? this
        : this with { Duration = result.Duration, PeakMemory = result.PeakMemory, Layers = result.Layers, Warnings = result.Warnings };
}
