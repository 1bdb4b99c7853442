namespace AwqQuantize.Engine.Runs;

/// <summary>A model folder at a glance.</summary>
public sealed record AwqModelInfo
{
    /// <summary>Full path of the folder.</summary>
    public required string Path { get; init; }

    /// <summary>Name of the folder; <c>organisation/name</c> in a Hugging Face cache.</summary>
    public required string Name { get; init; }

    /// <summary><c>model_type</c> of config.json; null where there is none.</summary>
    public string? Architecture { get; init; }

    /// <summary>Name of the architecture description that fits; null where none does.</summary>
    public string? Family { get; init; }

    /// <summary>Bytes of the tensors that quantising with the default options would leave; null where the model is not supported.</summary>
    public long? EstimatedSize { get; init; }

    /// <summary>Predicted peak of resident memory of that, in bytes.</summary>
    public long? EstimatedMemory { get; init; }

    /// <summary>Roughly how long that takes on this machine's CPU when nothing else runs; null where the model is not supported.</summary>
    public TimeSpan? EstimatedTime { get; init; }

    /// <summary>Elements of all tensors; 0 where the weights cannot be read. Packed weights count as they are stored.</summary>
    public long Parameters { get; init; }

    /// <summary>Bytes of all tensors.</summary>
    public long Size { get; init; }

    /// <summary>The type that most of the weights are stored in, e.g. <c>BF16</c>.</summary>
    public string? Dtype { get; init; }

    /// <summary>Safetensors files.</summary>
    public int Files { get; init; }

    /// <summary>How the weights are quantised already (<c>awq</c>, <c>gptq</c>, <c>fp8</c>, …); null where they are not.</summary>
    public string? Quantization { get; init; }

    /// <summary>The finished checkpoints in the model's folder, at the destinations that runs have by default.</summary>
    public IReadOnlyList<string> Finished { get; init; } = [];

    /// <summary>The destinations among those for which a run was interrupted, or is going on.</summary>
    public IReadOnlyList<string> Unfinished { get; init; } = [];

    /// <summary>At a glance; an interrupted run counts more than a finished one.</summary>
    public ModelStatus Status => Quantization is not null ? ModelStatus.Quantized : !IsSupported ? ModelStatus.NotSupported
        : Unfinished.Count > 0 ? ModelStatus.Unfinished : Finished.Count > 0 ? ModelStatus.Done : ModelStatus.Ready;

    /// <summary>Whether the model can be quantised.</summary>
    public bool IsSupported => Reason is null;

    /// <summary>Why not; null where it can.</summary>
    public string? Reason { get; init; }

    /// <summary>Identifier of the error that quantising it would give; null where there is none.</summary>
    public string? ErrorId { get; init; }
}
