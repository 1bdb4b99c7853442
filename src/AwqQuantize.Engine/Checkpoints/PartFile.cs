namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// A piece of a checkpoint in the making, usually one layer: a safetensors file that exists only when it is complete, for
/// it appears by one rename. A run resumes after the last one.
/// </summary>
public static class PartFile
{
    private static readonly Dictionary<string, string> NoMetadata = [];

    /// <summary>Writes the tensors; afterwards the file is on the disk under its name, or, on an error, not there.</summary>
    /// <exception cref="AwqException">The file cannot be written, or a tensor does not fit float16.</exception>
    public static void Write(string path, IReadOnlyList<TensorPayload> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        SafetensorsWriter.Write(path, tensors, metadata ?? NoMetadata);
}
