using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Publishing;

namespace AwqQuantize.Engine.Tests.Publishing;

public sealed class RegistryPublisherTests : IDisposable
{
    private static readonly RegistryCredentials Known = new(LocalRegistry.User, new Secret(LocalRegistry.Password));

    private readonly TemporaryFolder folder = new();
    private readonly Dictionary<string, byte[]> files;

    public RegistryPublisherTests()
    {
        files = PublishFolder.Write(folder);
    }

    public void Dispose() => folder.Dispose();

    private static RegistryPublishOptions Options => new() { Credentials = Known, ChunkBytes = 64 << 10, FirstPause = TimeSpan.FromMilliseconds(50) };

    private RegistryPublishResult Publish(LocalRegistry registry, RegistryPublishOptions? options = null, IProgress<PublishProgress>? progress = null, CancellationToken cancellation = default) =>
        RegistryPublisher.Publish(folder.File("out"), RegistryReference.Parse($"{registry.Host}/team/model:v1"), options ?? Options, progress, cancellation);

    [Fact]
    public void WhatIsPulledIsWhatWasPushed()
    {
        using var registry = new LocalRegistry(folder, LocalRegistry.Basic(folder));
        var result = Publish(registry, Options with { License = "MIT" });
        Assert.Equal((files.Count, 0), (result.FilesSent, result.FilesPresent));
        Assert.Equal(files.Values.Sum(f => f.Length), result.BytesSent);
        var manifest = Pull(registry, result);
        Assert.Equal("application/vnd.cncf.model.manifest.v1+json", manifest["artifactType"]!.ToString());
        Assert.Equal("application/vnd.cncf.model.config.v1+json", manifest["config"]!["mediaType"]!.ToString());
        var types = manifest["layers"]!.AsArray().ToDictionary(l => l!["annotations"]!["org.cncf.model.filepath"]!.ToString(), l => l!["mediaType"]!.ToString());
        Assert.Equal("application/vnd.cncf.model.weight.v1.raw", types["model-00001-of-00002.safetensors"]);
        Assert.Equal("application/vnd.cncf.model.weight.config.v1.raw", types["tokenizer.json"]);
        Assert.Equal("application/vnd.cncf.model.doc.v1.raw", types["README.md"]);
        var config = JsonNode.Parse(Get(registry, $"blobs/{manifest["config"]!["digest"]}"))!;
        Assert.Equal("awq", config["config"]!["quantization"]!.ToString());
        Assert.Equal("llama", config["descriptor"]!["family"]!.ToString());
        Assert.Equal("MIT", config["descriptor"]!["licenses"]![0]!.ToString());
        Assert.Equal(manifest["layers"]!.AsArray().Select(l => l!["digest"]!.ToString()), config["modelfs"]!["diffIds"]!.AsArray().Select(d => d!.ToString()));
    }

    [Fact]
    public void PushingAgainSendsNothingAndKeepsTheDigest()
    {
        using var registry = new LocalRegistry(folder);
        var first = Publish(registry, Options with { Credentials = null });
        var second = Publish(registry, Options with { Credentials = null });
        Assert.Equal((0, files.Count, 0L), (second.FilesSent, second.FilesPresent, second.BytesSent));
        Assert.Equal(first.Digest, second.Digest);
        Assert.Equal($"{registry.Host}/team/model@{first.Digest}", second.PinnedReference);
    }

    [Fact]
    public void AnUploadGoesOnAfterTheRegistryWasRestarted()
    {
        using var registry = new LocalRegistry(folder, LocalRegistry.Basic(folder));
        var restarted = false;
        var result = Publish(registry, progress: new Told<PublishProgress>(p =>
        {
            if (p is { Stage: PublishStage.Uploading, File: "model-00001-of-00002.safetensors" } && p.BytesDone > 200_000 && !restarted)
            {
                restarted = true;
                registry.Restart();
            }
        }));
        Assert.True(restarted);
        Pull(registry, result);
        // One upload was begun per file and one for the config: none had to begin anew, unless the registry was killed between writing
        // a chunk and telling of it; it then refuses to go on with an upload that holds more than the client was told.
        var refused = registry.Log.Count(l => l.Contains("upload resumed at wrong off", StringComparison.Ordinal) && l.Contains("level=error", StringComparison.Ordinal));
        Assert.InRange(refused, 0, 1);
        Assert.Equal(files.Count + 1 + refused, registry.Log.Count(l => l.Contains("\"POST /v2/team/model/blobs/uploads/", StringComparison.Ordinal) && l.Contains("\" 202 ", StringComparison.Ordinal)));
    }

    [Fact]
    public void ALostUploadBeginsAnew()
    {
        using var registry = new LocalRegistry(folder, LocalRegistry.Basic(folder));
        var restarted = false;
        var result = Publish(registry, progress: new Told<PublishProgress>(p =>
        {
            if (p is { Stage: PublishStage.Uploading, File: "model-00001-of-00002.safetensors" } && p.BytesDone > 200_000 && !restarted)
            {
                restarted = true;
                registry.Restart("another secret");
            }
        }));
        Pull(registry, result);
        Assert.Equal(files.Count + 2, registry.Log.Count(l => l.Contains("\"POST /v2/team/model/blobs/uploads/", StringComparison.Ordinal) && l.Contains("\" 202 ", StringComparison.Ordinal)));
    }

    [Fact]
    public void AfterAnInterruptionOnlyTheRestIsSent()
    {
        using var registry = new LocalRegistry(folder);
        using var source = new CancellationTokenSource();
        var progress = new Told<PublishProgress>(p =>
        {
            if (p is { Stage: PublishStage.Uploading, File: "model-00002-of-00002.safetensors" })
                source.Cancel();
        });
        Assert.ThrowsAny<OperationCanceledException>(() => Publish(registry, Options with { Credentials = null }, progress, source.Token));
        var result = Publish(registry, Options with { Credentials = null });
        Assert.InRange(result.BytesSent, 1, 70_000);
        Pull(registry, result);
    }

    [Fact]
    public void BearerTokensAreFetchedAndRenewed()
    {
        using var tokens = new TokenServer(folder);
        using var registry = new LocalRegistry(folder, tokens.Configuration);
        var waited = false;
        var result = Publish(registry, progress: new Told<PublishProgress>(p =>
        {
            if (p.File == "model-00002-of-00002.safetensors" && p.Stage == PublishStage.Uploading && !waited)
            {
                // The registry grants a minute beyond the end; what it refuses is answered with a new token all the same.
                waited = true;
                registry.Restart();
            }
        }));
        Assert.InRange(tokens.Given, 1, 20);
        Assert.Equal(files.Count, result.FilesSent);
        var identity = new RegistryCredentials("", new Secret(TokenServer.RefreshToken));
        Assert.Equal(0, Publish(registry, Options with { Credentials = identity }).FilesSent);
    }

    [Fact]
    public void WrongCredentialsAreAnErrorWithoutThem()
    {
        using var tokens = new TokenServer(folder);
        using var bearer = new LocalRegistry(folder, tokens.Configuration);
        using var other = new TemporaryFolder();
        using var basic = new LocalRegistry(other, LocalRegistry.Basic(other));
        var secret = "wrong-but-secret-all-the-same";
        foreach (var registry in new[] { bearer, basic })
        {
            foreach (var credentials in new[] { new RegistryCredentials("tester", new Secret(secret)), new RegistryCredentials("", new Secret(secret)) })
            {
                var error = Assert.Throws<AwqException>(() => Publish(registry, Options with { Credentials = credentials }));
                Assert.Equal("RegistryAccessDenied", error.Id);
                Assert.DoesNotContain(secret, error + error.Remedy, StringComparison.Ordinal);
                Assert.DoesNotContain(Convert.ToBase64String(Encoding.UTF8.GetBytes("tester:" + secret)), error.ToString(), StringComparison.Ordinal);
                Assert.DoesNotContain(secret, credentials.ToString(), StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void DamageInTheRegistryIsFoundOut()
    {
        using var registry = new LocalRegistry(folder);
        var anonymous = Options with { Credentials = null };
        Publish(registry, anonymous);
        // The registry loses part of a blob; the size gives it away, and the file is sent again.
        var digest = Convert.ToHexStringLower(SHA256.HashData(files["tokenizer.json"]));
        var blob = Path.Combine(folder.File("storage"), "docker/registry/v2/blobs/sha256", digest[..2], digest, "data");
        File.WriteAllBytes(blob, files["tokenizer.json"][..100]);
        Assert.Equal("RegistryVerificationFailed", Assert.Throws<AwqException>(() => Publish(registry, anonymous)).Id);
    }

    [Theory]
    [InlineData("ghcr.io/me/model:v1", "ghcr.io", "me/model", "v1")]
    [InlineData("localhost:5000/model", "localhost:5000", "model", "latest")]
    [InlineData("me/model", "docker.io", "me/model", "latest")]
    [InlineData("model:x", "docker.io", "library/model", "x")]
    [InlineData("10.0.0.1/a/b/c:T_1.2", "10.0.0.1", "a/b/c", "T_1.2")]
    public void ReferencesAreReadAsDockerReadsThem(string text, string host, string repository, string tag) =>
        Assert.Equal(new RegistryReference(host, repository, tag), RegistryReference.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("ghcr.io/Me/model")]
    [InlineData("ghcr.io/me/model:")]
    [InlineData("ghcr.io/me/../model")]
    [InlineData("ghcr.io/me/model:a b")]
    [InlineData("evil.com@ghcr.io/me/model")]
    [InlineData("ghcr.io/me/model?x=1")]
    [InlineData("https://ghcr.io/me/model")]
    public void WhatIsNoReferenceIsRefused(string text) =>
        Assert.Equal("RegistryReferenceInvalid", Assert.Throws<AwqException>(() => RegistryReference.Parse(text)).Id);

    [Fact]
    public void OnlyThisMachineIsSpokenToWithoutEncryption()
    {
        Assert.Equal("http", RegistryReference.Parse("127.0.0.1:5000/a").Address.Scheme);
        Assert.Equal("http", RegistryReference.Parse("localhost/a").Address.Scheme);
        Assert.Equal("https", RegistryReference.Parse("registry.lan:5000/a").Address.Scheme);
        Assert.Equal("https://registry-1.docker.io/", RegistryReference.Parse("a/b").Address.ToString());
    }

    private byte[] Get(LocalRegistry registry, string path)
    {
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{registry.Host}/v2/team/model/{path}");
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{LocalRegistry.User}:{LocalRegistry.Password}")));
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/vnd.oci.image.manifest.v1+json"));
        using var response = client.Send(request);
        response.EnsureSuccessStatusCode();
        using var buffer = new MemoryStream();
        response.Content.ReadAsStream().CopyTo(buffer);
        return buffer.ToArray();
    }

    /// <summary>Pulls by digest with nothing of ours, and compares every file.</summary>
    private JsonNode Pull(LocalRegistry registry, RegistryPublishResult result)
    {
        var bytes = Get(registry, $"manifests/{result.Digest}");
        Assert.Equal(result.Digest, "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes)));
        Assert.Equal(bytes, Get(registry, "manifests/v1"));
        var manifest = JsonNode.Parse(bytes)!;
        var pulled = manifest["layers"]!.AsArray().ToDictionary(
            l => l!["annotations"]!["org.cncf.model.filepath"]!.ToString(), l => Get(registry, $"blobs/{l!["digest"]}"));
        Assert.Equal(files.Keys.Order(StringComparer.Ordinal), pulled.Keys.Order(StringComparer.Ordinal));
        foreach (var (name, content) in files)
            Assert.Equal(content, pulled[name]);
        return manifest;
    }
}
