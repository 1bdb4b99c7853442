namespace AwqQuantize.Engine.Runs;

/// <summary>How a run came to its checkpoint.</summary>
public enum RunStatus
{
    /// <summary>From beginning to end.</summary>
    Quantized,

    /// <summary>An interrupted run was taken up.</summary>
    Resumed,

    /// <summary>It was there already, made from the same source with the same options; nothing was computed.</summary>
    AlreadyDone,
}
