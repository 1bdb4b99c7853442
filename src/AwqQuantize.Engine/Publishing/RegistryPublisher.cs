using System.Security.Cryptography;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Publishing;

/// <summary>
/// Publishes a checkpoint in an OCI registry as a ModelPack artifact. Blobs that the registry holds are skipped, so running
/// it again after an interruption sends only what is missing.
/// </summary>
public static class RegistryPublisher
{
    /// <param name="folder">A checkpoint's folder; everything in it is published, except hidden and temporary files.</param>
    /// <param name="reference">Where it goes.</param>
    /// <exception cref="AwqException">The folder or name is wrong, the registry refuses, or gives other content back.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the tag is what it was.</exception>
    public static RegistryPublishResult Publish(string folder, RegistryReference reference, RegistryPublishOptions? options = null,
        IProgress<PublishProgress>? progress = null, CancellationToken cancellation = default)
    {
        options ??= new RegistryPublishOptions();
        var files = PublishedFile.Collect(folder, options.ModelCard, progress, cancellation);
        var model = ModelConfig.Load(Path.Combine(folder, ModelFolder.ConfigFile));
        var configBytes = ModelPack.Config(files, reference.Repository.Split('/')[^1], model.ModelType, model.QuantizationMethod, options.License);
        var config = new PublishedFile("config", "", configBytes.Length, Convert.ToHexStringLower(SHA256.HashData(configBytes)), configBytes);
        var manifest = ModelPack.Manifest(files, config);
        var digest = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(manifest));

        using var session = new HttpSession(options.FirstPause);
        var registry = new RegistryClient(reference, options.Credentials ?? RegistryCredentials.Find(reference.Host), session, options.ChunkBytes);
        var total = files.Sum(f => f.Size);
        long before = 0;
        var sentFiles = 0;
        long sentBytes = 0;
        foreach (var file in files)
        {
            if (!registry.HasBlob("sha256:" + file.Sha256, file.Size, cancellation))
            {
                registry.Upload(file, reached => progress?.Report(new PublishProgress(PublishStage.Uploading, file.Path, before + reached, total)), cancellation);
                sentFiles++;
                sentBytes += file.Size;
            }
            before += file.Size;
            progress?.Report(new PublishProgress(PublishStage.Uploading, file.Path, before, total));
        }
        progress?.Report(new PublishProgress(PublishStage.Committing, "", 0, 0));
        if (!registry.HasBlob("sha256:" + config.Sha256, config.Size, cancellation))
            registry.Upload(config, _ => { }, cancellation);
        registry.PutManifest(manifest, ModelPack.ManifestType, cancellation);
        Verify(registry, reference, files, manifest, digest, progress, cancellation);
        return new RegistryPublishResult(reference.ToString(), digest, $"{reference.Host}/{reference.Repository}@{digest}", sentFiles, files.Count - sentFiles, sentBytes);
    }

    private static void Verify(RegistryClient registry, RegistryReference reference, IReadOnlyList<PublishedFile> files, byte[] manifest, string digest,
        IProgress<PublishProgress>? progress, CancellationToken cancellation)
    {
        progress?.Report(new PublishProgress(PublishStage.Verifying, "", 0, 0));
        var same = registry.Manifest(digest, ModelPack.ManifestType, cancellation).AsSpan().SequenceEqual(manifest)
            && registry.Manifest(reference.Tag, ModelPack.ManifestType, cancellation).AsSpan().SequenceEqual(manifest);
        var missing = files.FirstOrDefault(f => !registry.HasBlob("sha256:" + f.Sha256, f.Size, cancellation));
        if (!same || missing is not null)
        {
            throw new AwqException("RegistryVerificationFailed", AwqErrorKind.InvalidData,
                $"After the upload {reference.Host} gives other content for {(missing is null ? "the manifest" : $"'{missing.Path}'")}.", "Run the command again.");
        }
    }
}
