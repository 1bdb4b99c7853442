using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Publishing;

/// <summary>
/// Publishes a checkpoint on a Hugging Face Hub in one commit. Running it again after an interruption sends only what is
/// missing: the hub knows large files by their hash.
/// </summary>
public static partial class HubPublisher
{
    private const int PartsAtOnce = 4;
    private const int UploadTries = 3;

    /// <param name="folder">A checkpoint's folder; everything in it is published, except hidden and temporary files.</param>
    /// <exception cref="AwqException">The folder, token or names are wrong, the hub refuses, or it ends up with other content than the folder's.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing was committed.</exception>
    public static HubPublishResult Publish(string folder, HubPublishOptions options, IProgress<PublishProgress>? progress = null, CancellationToken cancellation = default)
    {
        var endpoint = Endpoint(options);
        var token = options.Token ?? HubToken.Find() ?? throw new AwqException("HubTokenMissing", AwqErrorKind.PermissionDenied,
            "There is no token for the Hugging Face Hub.", "Give -Token, set HF_TOKEN, or log in with 'hf auth login'.");
        CheckName(options.Revision, RevisionPattern(), "revision");
        CheckName(options.Repository, RepositoryPattern(), "repository");
        using var session = new HttpSession(options.FirstPause);
        var hub = new HubClient(endpoint, token, session);
        var repository = options.Repository.Contains('/') ? options.Repository : $"{hub.UserName(cancellation)}/{options.Repository}";
        var files = PublishedFile.Collect(folder, options.ModelCard, progress, cancellation);

        hub.CreateRepository(repository, options.Private, cancellation);
        if (options.Revision != "main" && !options.Revision.StartsWith("refs/", StringComparison.Ordinal))
            hub.CreateBranch(repository, options.Revision, cancellation);
        var present = hub.Files(repository, options.Revision, cancellation);
        var changed = files.Where(f => !IsSame(f, present, cancellation)).ToList();
        if (changed.Count == 0)
        {
            var head = hub.Head(repository, options.Revision, cancellation) ?? "";
            return new HubPublishResult(repository, options.Revision, head, PageOf(endpoint, repository, head), null, 0, files.Count, 0);
        }
        var (large, ignored) = hub.Preupload(repository, options.Revision, options.CreatePullRequest, changed, cancellation);
        changed.RemoveAll(f => ignored.Contains(f.Path));
        var sent = Upload(hub, session, repository, options.CreatePullRequest ? null : options.Revision, token, [.. changed.Where(f => large.Contains(f.Path))], progress, cancellation);
        progress?.Report(new PublishProgress(PublishStage.Committing, "", 0, 0));
        var (commit, pullRequest) = hub.Commit(repository, options.Revision, options.CreatePullRequest, options.Message, changed, large, cancellation);
        Verify(hub, repository, commit, files, ignored, progress, cancellation);
        return new HubPublishResult(repository, options.Revision, commit, PageOf(endpoint, repository, commit), pullRequest,
            changed.Count, files.Count - changed.Count - ignored.Count, sent);
    }

    private static long Upload(HubClient hub, HttpSession session, string repository, string? revision, Secret token, List<PublishedFile> files,
        IProgress<PublishProgress>? progress, CancellationToken cancellation)
    {
        var total = files.Sum(f => f.Size);
        long before = 0;
        long sent = 0;
        foreach (var file in files)
        {
            for (var attempt = 1; ; attempt++)
            {
                // Addresses expire within hours, so each file's are asked for when its turn comes.
                var actions = hub.LargeFileActions(repository, revision, file, cancellation);
                if (actions?["upload"] is not JsonObject upload)
                    break;
                long moved = 0;
                var answer = Transfer(session, upload, file, bytes => progress?.Report(
                    new PublishProgress(PublishStage.Uploading, file.Path, before + Math.Min(file.Size, Interlocked.Add(ref moved, bytes)), total)), cancellation);
                if (answer.IsSuccess)
                {
                    if (actions["verify"] is JsonObject verify)
                        hub.VerifyLargeFile(verify, file, cancellation);
                    sent += file.Size;
                    break;
                }
                if (attempt == UploadTries)
                {
                    throw new AwqException("HubUploadFailed", AwqErrorKind.ResourceUnavailable,
                        $"The hub's storage refused '{file.Path}': {answer.ErrorText(token.RemoveFrom)}", "Run the command again: files that arrived are not sent twice.");
                }
            }
            before += file.Size;
            progress?.Report(new PublishProgress(PublishStage.Uploading, file.Path, before, total));
        }
        return sent;
    }

    private static HttpAnswer Transfer(HttpSession session, JsonObject upload, PublishedFile file, Action<long> moved, CancellationToken cancellation)
    {
        var address = new Uri(upload["href"]?.ToString() ?? "");
        var header = upload["header"] as JsonObject;
        if (header?["chunk_size"]?.ToString() is { } text)
            return TransferParts(session, address, header, long.Parse(text, CultureInfo.InvariantCulture), file, moved, cancellation);
        return session.Send(tick =>
        {
            var request = Put(address, file, 0, file.Size, moved, tick);
            foreach (var (name, value) in header ?? [])
                request.Headers.TryAddWithoutValidation(name, value?.ToString());
            return request;
        }, cancellation);
    }

    private static HttpAnswer TransferParts(HttpSession session, Uri completion, JsonObject header, long chunk, PublishedFile file, Action<long> moved, CancellationToken cancellation)
    {
        var parts = header.Where(h => h.Key.All(char.IsAsciiDigit))
            .Select(h => (Number: int.Parse(h.Key, CultureInfo.InvariantCulture), Address: new Uri(h.Value?.ToString() ?? "")))
            .OrderBy(p => p.Number).ToList();
        if (chunk <= 0 || parts.Count != (file.Size + chunk - 1) / chunk)
        {
            throw new AwqException("HubAnswerInvalid", AwqErrorKind.InvalidData,
                $"The hub divides '{file.Path}' of {file.Size} bytes into {parts.Count} parts of {chunk} bytes.", "Run the command again.");
        }
        var tags = new string?[parts.Count];
        HttpAnswer? failure = null;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            Parallel.For(0, parts.Count, new ParallelOptions { MaxDegreeOfParallelism = PartsAtOnce, CancellationToken = stop.Token }, i =>
            {
                var start = i * chunk;
                var answer = session.Send(tick => Put(parts[i].Address, file, start, Math.Min(chunk, file.Size - start), moved, tick), stop.Token);
                tags[i] = answer.Header("ETag");
                if (answer.IsSuccess && tags[i] is not null)
                    return;
                failure = answer;
                stop.Cancel();
            });
        }
        catch (OperationCanceledException) when (failure is not null)
        {
            return failure;
        }
        catch (AggregateException e)
        {
            if (failure is not null)
                return failure;
            cancellation.ThrowIfCancellationRequested();
            throw e.InnerExceptions.FirstOrDefault(i => i is AwqException) ?? e.InnerExceptions[0];
        }
        if (failure is not null)
            return failure;
        var body = new JsonObject
        {
            ["oid"] = file.Sha256,
            ["parts"] = new JsonArray([.. parts.Select((p, i) => new JsonObject { ["partNumber"] = p.Number, ["etag"] = tags[i] })]),
        };
        return session.Send(_ => new HttpRequestMessage(HttpMethod.Post, completion)
        {
            Content = new StringContent(body.ToJsonString(), null, "application/vnd.git-lfs+json"),
        }, cancellation);
    }

    private static HttpRequestMessage Put(Uri address, PublishedFile file, long offset, long length, Action<long> moved, Action tick) =>
        new(HttpMethod.Put, address)
        {
            Content = new FileSlice(file, offset, length, bytes =>
            {
                tick();
                moved(bytes);
            }),
        };

    private static void Verify(HubClient hub, string repository, string commit, IReadOnlyList<PublishedFile> files, ISet<string> ignored,
        IProgress<PublishProgress>? progress, CancellationToken cancellation)
    {
        progress?.Report(new PublishProgress(PublishStage.Verifying, "", 0, 0));
        var present = hub.Files(repository, commit, cancellation);
        var wrong = files.Where(f => !ignored.Contains(f.Path) && !IsSame(f, present, cancellation)).Select(f => f.Path).ToList();
        if (wrong.Count > 0)
        {
            throw new AwqException("HubVerificationFailed", AwqErrorKind.InvalidData,
                $"After the upload the hub holds other content for: {string.Join(", ", wrong.Take(10))}.", "Run the command again.");
        }
    }

    private static bool IsSame(PublishedFile file, IReadOnlyDictionary<string, HubFile> present, CancellationToken cancellation) =>
        present.TryGetValue(file.Path, out var there) && there.Size == file.Size
        && (there.LargeOid is { } large ? large == file.Sha256 : there.Oid == file.GitBlobHash(cancellation));

    private static Uri Endpoint(HubPublishOptions options)
    {
        var endpoint = options.Endpoint;
        if (endpoint is null)
        {
            var text = Environment.GetEnvironmentVariable("HF_ENDPOINT") is { Length: > 0 } chosen ? chosen : "https://huggingface.co";
            if (!Uri.TryCreate(text, UriKind.Absolute, out endpoint))
                throw new AwqException("HubEndpointInvalid", AwqErrorKind.InvalidArgument, "HF_ENDPOINT is no address.", "Set it to something like https://huggingface.co.");
        }
        if (endpoint.Scheme != Uri.UriSchemeHttps && !(endpoint.Scheme == Uri.UriSchemeHttp && endpoint.IsLoopback))
        {
            throw new AwqException("HubEndpointInsecure", AwqErrorKind.InvalidArgument,
                $"The token would go to {endpoint.Host} unencrypted.", "Use an https address.");
        }
        return new Uri(endpoint.GetLeftPart(UriPartial.Path).TrimEnd('/') + "/");
    }

    private static string PageOf(Uri endpoint, string repository, string commit) =>
        new Uri(endpoint, commit.Length == 0 ? repository : $"{repository}/tree/{commit}").ToString();

    private static void CheckName(string name, Regex pattern, string what)
    {
        if (!pattern.IsMatch(name) || name.Contains("..", StringComparison.Ordinal) || name.Contains("--", StringComparison.Ordinal) && what == "repository")
            throw new AwqException("HubNameInvalid", AwqErrorKind.InvalidArgument, $"'{name}' is no name of a {what}.", "Letters, digits, '-', '_' and '.' are allowed.");
    }

    [GeneratedRegex(@"\A([A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,95}\z")]
    private static partial Regex RepositoryPattern();

    [GeneratedRegex(@"\A[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}\z")]
    private static partial Regex RevisionPattern();
}
