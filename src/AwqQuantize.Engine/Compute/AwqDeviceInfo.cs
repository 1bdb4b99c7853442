namespace AwqQuantize.Engine.Compute;

/// <summary>Something that a run can compute on, or could.</summary>
public sealed record AwqDeviceInfo
{
    /// <summary>As <c>-Device</c> takes it: <c>cpu</c>, <c>cuda:0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Make and model.</summary>
    public required string Model { get; init; }

    /// <summary>Bytes; for the CPU what the machine, or the container, has.</summary>
    public required long Memory { get; init; }

    /// <summary>Bytes that are free now.</summary>
    public required long FreeMemory { get; init; }

    /// <summary>NVIDIA's number of what a GPU can do, e.g. 9.0; null for the CPU.</summary>
    public Version? ComputeCapability { get; init; }

    public bool IsUsable => Reason is null;

    /// <summary>Why it cannot be used; null where it can.</summary>
    public string? Reason { get; init; }
}
