namespace AwqQuantize.Engine.Publishing;

/// <summary>What a publication is busy with.</summary>
public enum PublishStage
{
    Hashing,
    Uploading,
    Committing,
    Verifying,
}

/// <summary>How far a publication is.</summary>
/// <param name="File">Path relative to the folder; empty between files.</param>
/// <param name="BytesDone">Bytes of this stage that are done, unchanged files included.</param>
/// <param name="BytesTotal">All bytes of this stage.</param>
public sealed record PublishProgress(PublishStage Stage, string File, long BytesDone, long BytesTotal);
