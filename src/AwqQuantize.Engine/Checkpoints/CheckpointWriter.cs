using System.Globalization;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// Writes the weights of a checkpoint: one <c>model.safetensors</c>, or shards
/// <c>model-00001-of-0000N.safetensors</c> with their index. Sizes are known before the first byte is written, so data
/// passes once and nothing is held in memory.
/// </summary>
public static class CheckpointWriter
{
    /// <summary>5 GB, as Hugging Face's libraries count them.</summary>
    public const long DefaultMaxShardBytes = 5_000_000_000;

    private static readonly Dictionary<string, string> Metadata = new() { ["format"] = "pt" };

    /// <param name="folder">An existing folder without weights in it.</param>
    /// <param name="tensors">All tensors; shards are filled in this order. The bytes depend on nothing else.</param>
    /// <param name="maxShardBytes">Most bytes of tensors in a shard; a larger tensor gets a shard of its own.</param>
    /// <param name="progress">Told the bytes written so far.</param>
    /// <returns>Names of the files written, in order, the index last.</returns>
    /// <exception cref="AwqException"><c>DestinationHasWeights</c>; the files cannot be written; a tensor does not fit float16.</exception>
    public static IReadOnlyList<string> Write(string folder, IReadOnlyList<TensorPayload> tensors,
        long maxShardBytes = DefaultMaxShardBytes, IProgress<long>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxShardBytes);
        RequireNoWeights(folder);
        var shards = Plan(tensors, maxShardBytes);
        long done = 0;
        void Written(long bytes) => progress?.Report(done += bytes);
        if (shards.Count == 1)
        {
            SafetensorsWriter.Write(Path.Combine(folder, ModelFolder.SingleFile), shards[0], Metadata, Written, cancellation);
            return [ModelFolder.SingleFile];
        }
        var files = new List<string>();
        var map = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < shards.Count; i++)
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"model-{i + 1:D5}-of-{shards.Count:D5}.safetensors");
            SafetensorsWriter.Write(Path.Combine(folder, name), shards[i], Metadata, Written, cancellation);
            files.Add(name);
            foreach (var tensor in shards[i])
            {
                if (!map.TryAdd(tensor.Name, name))
                    throw new ArgumentException($"Tensor '{tensor.Name}' is given twice.", nameof(tensors));
            }
        }
        var index = new JsonObject
        {
            ["metadata"] = new JsonObject { ["total_size"] = tensors.Sum(t => t.ByteLength) },
            ["weight_map"] = new JsonObject(map.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value))),
        };
        AtomicFile.WriteText(Path.Combine(folder, ModelFolder.IndexFile), PythonJson.Write(index));
        files.Add(ModelFolder.IndexFile);
        return files;
    }

    private static List<List<TensorPayload>> Plan(IReadOnlyList<TensorPayload> tensors, long maxShardBytes)
    {
        var shards = new List<List<TensorPayload>> { new() };
        long size = 0;
        foreach (var tensor in tensors)
        {
            if (size > 0 && size + tensor.ByteLength > maxShardBytes)
            {
                shards.Add([]);
                size = 0;
            }
            shards[^1].Add(tensor);
            size += tensor.ByteLength;
        }
        return shards;
    }

    private static void RequireNoWeights(string folder)
    {
        try
        {
            var found = Directory.EnumerateFiles(folder, "model*.safetensors*").FirstOrDefault();
            if (found is not null)
            {
                throw new AwqException("DestinationHasWeights", AwqErrorKind.AlreadyExists,
                    $"The folder '{folder}' holds weights already ('{Path.GetFileName(found)}').", "Choose an empty folder, or delete its files.");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw FileErrors.OnWrite(e, folder);
        }
    }
}
