using System.IO.Hashing;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Runs;

/// <summary>Recognises a source again without reading all of it.</summary>
public static class SourceIdentity
{
    private const int Sampled = 1 << 20;

    /// <summary>A hash over config.json and, of each shard, its name, size, head and tail (1 MiB each).</summary>
    public static string Of(ModelFolder folder)
    {
        var hash = new XxHash128();
        hash.Append(File.ReadAllBytes(Path.Combine(folder.Path, ModelFolder.ConfigFile)));
        var buffer = new byte[Sampled];
        foreach (var file in folder.Files.OrderBy(f => f, StringComparer.Ordinal))
        {
            using var stream = File.OpenRead(file);
            hash.Append(System.Text.Encoding.UTF8.GetBytes($"{Path.GetFileName(file)}:{stream.Length}"));
            Append(stream.ReadAtLeast(buffer, Sampled, throwOnEndOfStream: false));
            stream.Seek(-Math.Min(Sampled, stream.Length), SeekOrigin.End);
            Append(stream.ReadAtLeast(buffer, Sampled, throwOnEndOfStream: false));
        }
        return Convert.ToHexStringLower(hash.GetCurrentHash());

        void Append(int count) => hash.Append(buffer.AsSpan(0, count));
    }
}
