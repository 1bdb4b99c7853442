using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Publishing;

/// <summary>One file of a checkpoint on its way to a hub or registry.</summary>
/// <param name="Path">Relative to the folder, with <c>/</c>.</param>
/// <param name="FullPath">Where it lies, unless <paramref name="Content"/> takes its place.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Sha256">Lower-case hexadecimal.</param>
/// <param name="Content">Content that is not on the disk, or null.</param>
internal sealed record PublishedFile(string Path, string FullPath, long Size, string Sha256, byte[]? Content = null)
{
    private const string Card = "README.md";
    private const int BufferSize = 1 << 20;

    /// <summary>
    /// All files of a folder with their hashes, in the order of their paths. Hidden and temporary ones are left out, linked
    /// folders are not followed.
    /// </summary>
    /// <param name="card">Published as README.md in place of the folder's own; null: that one is.</param>
    /// <exception cref="AwqException">The folder is missing, holds no checkpoint, or cannot be read.</exception>
    public static IReadOnlyList<PublishedFile> Collect(string folder, string? card, IProgress<PublishProgress>? progress, CancellationToken cancellation)
    {
        folder = System.IO.Path.GetFullPath(folder);
        if (!File.Exists(System.IO.Path.Combine(folder, ModelFolder.ConfigFile)))
        {
            throw new AwqException("PublishFolderInvalid", AwqErrorKind.NotFound,
                $"'{folder}' is no folder with a checkpoint: it has no {ModelFolder.ConfigFile}.", "Give the folder that Invoke-AwqQuantization wrote.");
        }
        try
        {
            var paths = new List<string>();
            Walk(folder, "", paths);
            if (card is not null)
                paths.Remove(Card);
            paths.Sort(StringComparer.Ordinal);
            var sizes = paths.ConvertAll(p => Target(System.IO.Path.Combine(folder, p)).Length);
            var total = sizes.Sum();
            long done = 0;
            var files = new List<PublishedFile>();
            for (var i = 0; i < paths.Count; i++)
            {
                var full = System.IO.Path.Combine(folder, paths[i]);
                var path = paths[i];
                using var stream = OpenRead(full);
                var hash = Hash(stream, HashAlgorithmName.SHA256, [], cancellation, bytes => progress?.Report(new PublishProgress(PublishStage.Hashing, path, done += bytes, total)));
                files.Add(new PublishedFile(path, full, sizes[i], hash));
            }
            if (card is not null)
            {
                var content = Encoding.UTF8.GetBytes(card);
                files.Add(new PublishedFile(Card, "", content.Length, Convert.ToHexStringLower(SHA256.HashData(content)), content));
            }
            return files;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw FileErrors.OnRead(e, folder);
        }
    }

    /// <summary>The content, from its start.</summary>
    public Stream Open() => Content is null ? OpenRead(FullPath) : new MemoryStream(Content, writable: false);

    /// <summary>The hash that git gives the file's content.</summary>
    public string GitBlobHash(CancellationToken cancellation)
    {
        using var stream = Open();
        return Hash(stream, HashAlgorithmName.SHA1, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {Size}\0")), cancellation, null);
    }

    /// <summary>The first bytes, from which a hub judges whether the file is text.</summary>
    public byte[] Sample(int length)
    {
        using var stream = Open();
        var bytes = new byte[Math.Min(length, Size)];
        stream.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>All of it; for small files.</summary>
    public byte[] ReadAll() => Sample(checked((int)Size));

    private static FileStream OpenRead(string path) =>
        new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);

    private static string Hash(Stream stream, HashAlgorithmName algorithm, byte[] prefix, CancellationToken cancellation, Action<long>? read)
    {
        using var hash = IncrementalHash.CreateHash(algorithm);
        hash.AppendData(prefix);
        var buffer = new byte[BufferSize];
        for (int length; (length = stream.Read(buffer)) > 0;)
        {
            cancellation.ThrowIfCancellationRequested();
            hash.AppendData(buffer, 0, length);
            read?.Invoke(length);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static FileInfo Target(string path)
    {
        var info = new FileInfo(path);
        return info.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? info;
    }

    private static void Walk(string folder, string prefix, List<string> paths)
    {
        var here = System.IO.Path.Combine(folder, prefix);
        foreach (var file in Directory.EnumerateFiles(here).Select(f => System.IO.Path.GetFileName(f)))
        {
            if (!file.StartsWith('.') && !file.EndsWith(".tmp", StringComparison.Ordinal))
                paths.Add(prefix + file);
        }
        foreach (var child in new DirectoryInfo(here).EnumerateDirectories())
        {
            if (!child.Name.StartsWith('.') && child.LinkTarget is null)
                Walk(folder, $"{prefix}{child.Name}/", paths);
        }
    }
}
