namespace AwqQuantize.Engine.Runs;

/// <summary>Where a model stands.</summary>
public enum ModelStatus
{
    /// <summary>Float, supported, not quantised yet.</summary>
    Ready,

    /// <summary>A run for it was interrupted, and the same command goes on.</summary>
    Unfinished,

    /// <summary>Its folder holds a finished checkpoint.</summary>
    Done,

    /// <summary>The weights themselves are quantised.</summary>
    Quantized,

    /// <summary>It cannot be quantised; the reason says why.</summary>
    NotSupported,
}
