using System.Diagnostics;
using System.Text;
using AwqQuantize.Engine.Publishing;

namespace AwqQuantize.Engine.Tests.Publishing;

public sealed class HubPublisherTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly StubHub hub = new();
    private readonly Dictionary<string, byte[]> files;

    public HubPublisherTests()
    {
        files = PublishFolder.Write(folder);
    }

    public void Dispose()
    {
        hub.Dispose();
        folder.Dispose();
    }

    private HubPublishOptions Options => new("me/model")
    {
        Token = new Secret(StubHub.Token), Endpoint = new Uri(hub.Address), FirstPause = TimeSpan.FromMilliseconds(1),
    };

    private HubPublishResult Publish(HubPublishOptions? options = null, IProgress<PublishProgress>? progress = null, CancellationToken cancellation = default) =>
        HubPublisher.Publish(folder.File("out"), options ?? Options, progress, cancellation);

    private void AssertPublished(string revision = "main")
    {
        Assert.Empty(hub.Complaints);
        var there = hub.Files("me/model", revision);
        Assert.Equal(files.Keys.Append(".gitattributes").Order(), there.Keys.Order());
        foreach (var (name, bytes) in files)
            Assert.Equal(bytes, there[name].Content);
    }

    [Fact]
    public void ACheckpointIsPublishedInOneCommit()
    {
        var told = new List<PublishProgress>();
        var result = Publish(Options with { Private = true }, new Told<PublishProgress>(told.Add));
        AssertPublished();
        Assert.True(hub.Private);
        Assert.Equal(files.Count, result.FilesSent);
        Assert.Equal(300_001 + 50_000 + 9_000, result.BytesSent);
        Assert.Contains(result.CommitId, result.Url, StringComparison.Ordinal);
        Assert.Null(result.PullRequestUrl);
        Assert.Single(hub.Requests, r => r.Path.Contains("/commit/", StringComparison.Ordinal));
        // The large file went in parts, each exactly once.
        Assert.Equal(5, hub.Requests.Count(r => r.Storage && r.Path.StartsWith("/part/", StringComparison.Ordinal)));
        foreach (var stage in Enum.GetValues<PublishStage>())
            Assert.Contains(told, p => p.Stage == stage);
        foreach (var stage in new[] { PublishStage.Hashing, PublishStage.Uploading })
        {
            var last = told.FindLast(p => p.Stage == stage)!;
            Assert.Equal(last.BytesTotal, last.BytesDone);
            Assert.All(told.Where(p => p.Stage == stage), p => Assert.InRange(p.BytesDone, 0, p.BytesTotal));
        }
    }

    [Fact]
    public void PublishingAgainSendsNothing()
    {
        var first = Publish();
        hub.Requests.Clear();
        var second = Publish();
        Assert.Equal((0, files.Count, 0L, first.CommitId), (second.FilesSent, second.FilesUnchanged, second.BytesSent, second.CommitId));
        Assert.DoesNotContain(hub.Requests, r => r.Storage || r.Path.Contains("/commit/", StringComparison.Ordinal));
    }

    [Fact]
    public void OnlyWhatChangedIsSent()
    {
        Publish();
        files["LICENSE"] = "another"u8.ToArray();
        folder.Write("out/LICENSE", files["LICENSE"]);
        var result = Publish();
        AssertPublished();
        Assert.Equal((1, files.Count - 1, 0L), (result.FilesSent, result.FilesUnchanged, result.BytesSent));
    }

    [Fact]
    public void ABranchIsCreatedAndMainLeftAlone()
    {
        var result = Publish(Options with { Revision = "v2/beta" });
        AssertPublished("v2/beta");
        Assert.Equal("v2/beta", result.Revision);
        Assert.Equal([".gitattributes"], hub.Files("me/model").Keys);
        Publish(Options with { Revision = "v2/beta" });
    }

    [Fact]
    public void APullRequestIsOpened()
    {
        var result = Publish(Options with { CreatePullRequest = true });
        AssertPublished("refs/pr/1");
        Assert.EndsWith("/discussions/1", result.PullRequestUrl, StringComparison.Ordinal);
        Assert.Equal([".gitattributes"], hub.Files("me/model").Keys);
    }

    [Fact]
    public void ANameWithoutNamespaceIsTheUsersOwn() => Assert.Equal("me/model", Publish(Options with { Repository = "model" }).Repository);

    [Fact]
    public void ACardTakesThePlaceOfTheFoldersReadme()
    {
        var before = File.ReadAllBytes(folder.File("out/README.md"));
        Publish(Options with { ModelCard = "---\nbase_model: x/y\n---\n" });
        Assert.Equal("---\nbase_model: x/y\n---\n", Encoding.UTF8.GetString(hub.Files("me/model")["README.md"].Content));
        Assert.Equal(before, File.ReadAllBytes(folder.File("out/README.md")));
    }

    [Theory]
    [InlineData(503)]
    [InlineData(429)]
    [InlineData(500)]
    [InlineData(-1)]
    public void EveryKindOfRequestIsRepeatedAfterAPassingFailure(int status)
    {
        var seen = new HashSet<string>();
        // The first request of each kind fails, in the manner given.
        hub.Fault = (method, path) =>
        {
            var kind = method + " " + string.Join('/', path.Split('?')[0].Split('/').Where(s => s.Length is > 0 and < 15));
            lock (seen)
                return seen.Add(kind) ? status : null;
        };
        Publish();
        AssertPublished();
        Assert.True(seen.Count > 7);
    }

    [Fact]
    public void AfterAnInterruptionOnlyTheRestIsSent()
    {
        using var source = new CancellationTokenSource();
        var progress = new Told<PublishProgress>(p =>
        {
            if (p is { Stage: PublishStage.Uploading, File: "model-00002-of-00002.safetensors" })
                source.Cancel();
        });
        Assert.ThrowsAny<OperationCanceledException>(() => Publish(progress: progress, cancellation: source.Token));
        Assert.Equal([".gitattributes"], hub.Files("me/model").Keys);
        hub.Requests.Clear();
        var result = Publish();
        AssertPublished();
        Assert.InRange(result.BytesSent, 9_000, 59_000);
        Assert.DoesNotContain(hub.Requests, r => r.Path.StartsWith("/part/", StringComparison.Ordinal));
    }

    [Fact]
    public void AnExpiredAddressIsAskedForAgain()
    {
        var refused = 0;
        hub.Fault = (method, path) => path.StartsWith("/object/", StringComparison.Ordinal) && Interlocked.Increment(ref refused) == 1 ? 403 : null;
        Publish();
        AssertPublished();
    }

    [Fact]
    public void AHubThatDamagesAFileIsFoundOut()
    {
        hub.Keep = bytes =>
        {
            var copy = (byte[])bytes.Clone();
            copy[7] ^= 1;
            return copy;
        };
        Assert.Equal("HubVerificationFailed", Assert.Throws<AwqException>(() => Publish()).Id);
    }

    [Fact]
    public void ALastingFailureIsAnErrorThatSaysWhatToDo()
    {
        hub.Fault = (_, path) => path.Contains("/preupload/", StringComparison.Ordinal) ? 503 : null;
        Assert.Equal("HubRequestFailed", Assert.Throws<AwqException>(() => Publish()).Id);
        hub.Fault = (_, _) => -1;
        Assert.Equal("ServerUnreachable", Assert.Throws<AwqException>(() => Publish()).Id);
    }

    [Fact]
    public void WrongTokensAndMissingRightsAreToldApart()
    {
        Assert.Equal("HubTokenRefused", Assert.Throws<AwqException>(() => Publish(Options with { Token = new Secret("hf_wrong") })).Id);
        Assert.Equal("HubAccessDenied", Assert.Throws<AwqException>(() => Publish(Options with { Repository = "others/model" })).Id);
    }

    [Fact]
    public void TheTokenIsInNoMessageAndNoResult()
    {
        var texts = new List<string> { new Secret(StubHub.Token).ToString(), Options.ToString() };
        // The stub quotes the Authorization header in its errors, as careless proxies do.
        foreach (var status in new[] { 400, 401, 403, 404, 429, 500 })
        {
            foreach (var part in new[] { "create", "/branch/", "/tree/", "/preupload/", "/batch", "/commit/", "/lfs-verify/", "whoami" })
            {
                hub.Fault = (_, path) => path.Contains(part, StringComparison.Ordinal) ? status : null;
                try
                {
                    texts.Add(Publish(Options with { Repository = part == "whoami" ? "model" : "me/model", Revision = part == "/branch/" ? "b" : "main" }).ToString());
                }
                catch (AwqException e)
                {
                    texts.Add(e.ToString() + e.Remedy);
                }
            }
        }
        Assert.Contains(texts, t => t.Contains("***", StringComparison.Ordinal));
        Assert.All(texts, t => Assert.DoesNotContain(StubHub.Token, t, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("a/b/c")]
    [InlineData("../x")]
    [InlineData("me/mo del")]
    [InlineData("me/a..b")]
    [InlineData("")]
    [InlineData("me/x?y")]
    public void NamesThatAreNoneAreRefused(string name) =>
        Assert.Equal("HubNameInvalid", Assert.Throws<AwqException>(() => Publish(Options with { Repository = name })).Id);

    [Fact]
    public void TheTokenDoesNotTravelUnencrypted() =>
        Assert.Equal("HubEndpointInsecure", Assert.Throws<AwqException>(() => Publish(Options with { Endpoint = new Uri("http://hub.example.com") })).Id);

    [Fact]
    public void AFolderWithoutCheckpointIsRefusedBeforeAnythingIsSent()
    {
        File.Delete(folder.File("out/config.json"));
        Assert.Equal("PublishFolderInvalid", Assert.Throws<AwqException>(() => Publish()).Id);
        Assert.Empty(hub.Requests);
    }

    [Theory]
    [InlineData("HF_TOKEN", "hf_a", "hf_a")]
    [InlineData("HUGGING_FACE_HUB_TOKEN", " hf_b\n", "hf_b")]
    [InlineData("HF_TOKEN_PATH", "{file}", "hf_file")]
    [InlineData("HF_HOME", "{folder}", "hf_home")]
    [InlineData("XDG_CACHE_HOME", "{folder}", "hf_cache")]
    [InlineData("OTHER", "x", "hf_default")]
    public void TheTokenIsFoundWhereTheOthersLookForIt(string variable, string value, string expected)
    {
        folder.Write("file", "hf_file\n");
        folder.Write("token", "hf_home");
        folder.Write("huggingface/token", "hf_cache");
        folder.Write("home/.cache/huggingface/token", "hf_default");
        value = value.Replace("{file}", folder.File("file"), StringComparison.Ordinal).Replace("{folder}", folder.Path, StringComparison.Ordinal);
        Assert.Equal(expected, HubToken.Find(name => name == variable ? value : null, folder.File("home"))!.Reveal());
    }

    [Fact]
    public void TokensThatCannotBeSentAreRefusedWithoutBeingShown()
    {
        foreach (var text in new[] { "", "  ", "a\r\nX-Evil: 1", "a b", "tökén" })
        {
            var error = Assert.Throws<AwqException>(() => new Secret(text));
            Assert.Equal("SecretInvalid", error.Id);
            Assert.DoesNotContain("Evil", error.ToString(), StringComparison.Ordinal);
        }
        Assert.Null(HubToken.Find(_ => null, folder.File("nobody")));
    }

    [Theory]
    [InlineData("main", false)]
    [InlineData("beta", false)]
    [InlineData("main", true)]
    public async Task TheOfficialClientAcceptsTheSameHub(string branch, bool pullRequest)
    {
        var scripts = SharedData.Repository("tests/hub");
        if (!Directory.Exists(Path.Combine(scripts, "node_modules", "@huggingface", "hub")))
            Assert.Skip("The official client is not installed: npm install --no-package-lock --prefix tests/hub");
        File.Delete(folder.File("out/.hidden"));
        File.Delete(folder.File("out/model.safetensors.tmp"));
        Directory.Delete(folder.File("out/.cache"), recursive: true);
        var start = new ProcessStartInfo("node", ["publish.mjs", "me/official", folder.File("out"), branch, .. pullRequest ? (string[])["--pr"] : []])
        {
            WorkingDirectory = scripts, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        start.Environment["HUB_URL"] = hub.Address;
        start.Environment["HUB_TOKEN"] = StubHub.Token;
        using var node = Process.Start(start)!;
        var errors = node.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await node.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await node.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(node.ExitCode == 0, output + await errors);
        Assert.Empty(hub.Complaints);
        // Both clients leave the same repository behind.
        Publish(Options with { Revision = branch, CreatePullRequest = pullRequest });
        var revision = pullRequest ? "refs/pr/1" : branch;
        var (theirs, ours) = (hub.Files("me/official", revision), hub.Files("me/model", revision));
        Assert.Equal(theirs.Keys, ours.Keys);
        foreach (var (name, file) in theirs)
        {
            Assert.Equal(file.Content, ours[name].Content);
            Assert.Equal(file.Large, ours[name].Large);
        }
    }
}
