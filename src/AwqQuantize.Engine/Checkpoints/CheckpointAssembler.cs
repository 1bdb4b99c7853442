namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// Puts part files together into a checkpoint. The parts are only read: after a crash the assembly is repeated into an
/// empty folder, and gives the same bytes.
/// </summary>
public static class CheckpointAssembler
{
    /// <param name="parts">Part files in the order of the checkpoint.</param>
    /// <param name="folder">An existing folder without weights in it.</param>
    /// <param name="maxShardBytes">Most bytes of tensors in a shard.</param>
    /// <param name="progress">Told the bytes written so far.</param>
    /// <param name="replacements">A part file whose tensors take the place of those of the same name; null for none.</param>
    /// <returns>Names of the files written, the index last.</returns>
    /// <exception cref="AwqException">A part is missing or malformed, two parts hold the same tensor, or the folder cannot be written.</exception>
    public static IReadOnlyList<string> Assemble(IReadOnlyList<string> parts, string folder,
        long maxShardBytes = CheckpointWriter.DefaultMaxShardBytes, IProgress<long>? progress = null, string? replacements = null, CancellationToken cancellation = default)
    {
        var files = new List<SafetensorsFile>();
        try
        {
            var owners = new Dictionary<string, string>(StringComparer.Ordinal);
            var payloads = new List<TensorPayload>();
            SafetensorsFile? newer = null;
            if (replacements is not null)
                files.Add(newer = SafetensorsFile.Open(replacements));
            foreach (var part in parts)
            {
                var file = SafetensorsFile.Open(part);
                files.Add(file);
                foreach (var entry in file.Tensors.Values.OrderBy(t => t.Offset).ThenBy(t => t.Name, StringComparer.Ordinal))
                {
                    if (!owners.TryAdd(entry.Name, part))
                    {
                        throw new AwqException("PartTensorDuplicate", AwqErrorKind.InvalidData,
                            $"Tensor '{entry.Name}' is in '{owners[entry.Name]}' and in '{part}'.", "Delete the run folder and start again.");
                    }
                    payloads.Add(newer is not null && newer.Tensors.TryGetValue(entry.Name, out var replacement)
                        ? TensorPayload.Copy(newer, replacement) : TensorPayload.Copy(file, entry));
                }
            }
            return CheckpointWriter.Write(folder, payloads, maxShardBytes, progress, cancellation);
        }
        finally
        {
            foreach (var file in files)
                file.Dispose();
        }
    }
}
