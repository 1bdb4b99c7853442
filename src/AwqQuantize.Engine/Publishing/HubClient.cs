using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Publishing;

/// <summary>A file as a hub lists it.</summary>
/// <param name="Oid">git's hash of the content; of the pointer where the file lies in large file storage.</param>
/// <param name="LargeOid">SHA-256 of the content where it lies in large file storage, else null.</param>
internal sealed record HubFile(string Path, long Size, string Oid, string? LargeOid);

/// <summary>
/// The HTTP API of a Hugging Face Hub, as far as publishing needs it. The token goes to the hub's own address only, never
/// to storage addresses that the hub names.
/// </summary>
internal sealed class HubClient(Uri endpoint, Secret token, HttpSession session)
{
    private const string LfsType = "application/vnd.git-lfs+json";

    /// <summary>The user's own namespace.</summary>
    public string UserName(CancellationToken cancellation) =>
        Text(Get("api/whoami-v2", "finding out whose token it is", cancellation), "name", "api/whoami-v2");

    /// <summary>Creates a repository; nothing happens where it exists and may be written to.</summary>
    public void CreateRepository(string repository, bool isPrivate, CancellationToken cancellation)
    {
        var parts = repository.Split('/');
        var body = new JsonObject { ["name"] = parts[1], ["organization"] = parts[0], ["type"] = "model", ["private"] = isPrivate };
        var answer = Call(HttpMethod.Post, "api/repos/create", body, cancellation);
        if (answer.IsSuccess || answer.Status == 409)
            return;
        // A token with rights for one repository only may not create any, also not one that exists.
        if (answer.Status is 401 or 403 && Call(HttpMethod.Get, $"api/models/{repository}", null, cancellation).IsSuccess)
            return;
        throw Refused(answer, $"creating the repository '{repository}'");
    }

    /// <summary>Creates a branch; nothing happens where it exists.</summary>
    public void CreateBranch(string repository, string branch, CancellationToken cancellation)
    {
        var answer = Call(HttpMethod.Post, $"api/models/{repository}/branch/{Escape(branch)}", [], cancellation);
        if (!answer.IsSuccess && answer.Status != 409)
            throw Refused(answer, $"creating the branch '{branch}'");
    }

    /// <summary>Identifier of a revision's last commit, or null where the revision has none.</summary>
    public string? Head(string repository, string revision, CancellationToken cancellation)
    {
        var answer = Call(HttpMethod.Get, $"api/models/{repository}/revision/{Escape(revision)}", null, cancellation);
        if (answer.Status == 404)
            return null;
        return answer.IsSuccess ? answer.Json()?["sha"]?.ToString() : throw Refused(answer, $"reading the revision '{revision}'");
    }

    /// <summary>All files of a revision; none where it does not exist yet.</summary>
    public IReadOnlyDictionary<string, HubFile> Files(string repository, string revision, CancellationToken cancellation)
    {
        var files = new Dictionary<string, HubFile>(StringComparer.Ordinal);
        var next = new Uri(endpoint, $"api/models/{repository}/tree/{Escape(revision)}?recursive=true&expand=false");
        while (next is not null)
        {
            var page = next;
            var answer = session.Send(_ => Authorized(HttpMethod.Get, page), cancellation);
            if (answer.Status == 404)
                return files;
            if (!answer.IsSuccess || answer.Json() is not JsonArray items)
                throw Refused(answer, $"listing the files of '{repository}'");
            foreach (var item in items.OfType<JsonObject>().Where(i => i["type"]?.ToString() == "file"))
            {
                var path = Text(item, "path", "tree");
                files[path] = new HubFile(path, Number(item, "size"), Text(item, "oid", "tree"), item["lfs"] is JsonObject lfs ? Text(lfs, "oid", "tree") : null);
            }
            next = NextPage(answer.Header("Link"));
        }
        return files;
    }

    /// <summary>Paths of those files that belong into large file storage, and those that the repository wants to be without.</summary>
    public (HashSet<string> Large, HashSet<string> Ignored) Preupload(
        string repository, string revision, bool pullRequest, IEnumerable<PublishedFile> files, CancellationToken cancellation)
    {
        var large = new HashSet<string>(StringComparer.Ordinal);
        var ignored = new HashSet<string>(StringComparer.Ordinal);
        foreach (var chunk in files.Chunk(100))
        {
            var body = new JsonObject
            {
                ["files"] = new JsonArray([.. chunk.Select(f => new JsonObject
                {
                    ["path"] = f.Path, ["size"] = f.Size, ["sample"] = Convert.ToBase64String(f.Sample(512)),
                })]),
            };
            var answer = Call(HttpMethod.Post, $"api/models/{repository}/preupload/{Escape(revision)}{Query(pullRequest)}", body, cancellation);
            if (!answer.IsSuccess || answer.Json()?["files"] is not JsonArray modes)
                throw Refused(answer, "announcing the files");
            foreach (var mode in modes.OfType<JsonObject>())
            {
                if (mode["shouldIgnore"] is JsonValue ignore && ignore.TryGetValue<bool>(out var skip) && skip)
                    ignored.Add(Text(mode, "path", "preupload"));
                else if (Text(mode, "uploadMode", "preupload") == "lfs")
                    large.Add(Text(mode, "path", "preupload"));
            }
        }
        return (large, ignored);
    }

    /// <summary>Asks where a large file goes; null where the storage holds it already.</summary>
    public JsonObject? LargeFileActions(string repository, string? revision, PublishedFile file, CancellationToken cancellation)
    {
        var body = new JsonObject
        {
            ["operation"] = "upload", ["transfers"] = new JsonArray("basic", "multipart"), ["hash_algo"] = "sha256",
            ["objects"] = new JsonArray(new JsonObject { ["oid"] = file.Sha256, ["size"] = file.Size }),
        };
        if (revision is not null)
            body["ref"] = new JsonObject { ["name"] = revision };
        var answer = Call(HttpMethod.Post, $"{repository}.git/info/lfs/objects/batch", body, cancellation, LfsType);
        if (!answer.IsSuccess || answer.Json()?["objects"] is not JsonArray { Count: 1 } objects || objects[0] is not JsonObject found
            || found["oid"]?.ToString() != file.Sha256)
            throw Refused(answer, $"asking where '{file.Path}' goes");
        if (found["error"] is JsonObject error)
        {
            throw new AwqException("HubUploadRefused", AwqErrorKind.PermissionDenied,
                token.RemoveFrom($"The hub does not take '{file.Path}': {error["message"]}"), "Check the hub's limits for this account and repository.");
        }
        return found["actions"] as JsonObject;
    }

    /// <summary>Tells the hub that a large file is there, where it wants to be told.</summary>
    public void VerifyLargeFile(JsonObject action, PublishedFile file, CancellationToken cancellation)
    {
        var address = new Uri(Text(action, "href", "batch"));
        // Storage of others gets no token, and has nothing to verify for us.
        if (address.GetLeftPart(UriPartial.Authority) != endpoint.GetLeftPart(UriPartial.Authority))
            return;
        var body = new JsonObject { ["oid"] = file.Sha256, ["size"] = file.Size };
        var answer = session.Send(_ => WithBody(Authorized(HttpMethod.Post, address), body, LfsType), cancellation);
        if (!answer.IsSuccess)
            throw Refused(answer, $"confirming '{file.Path}'");
    }

    /// <summary>Makes one commit.</summary>
    /// <returns>Its identifier, and the pull request that it opened.</returns>
    public (string CommitId, string? PullRequestUrl) Commit(
        string repository, string revision, bool pullRequest, string message, IEnumerable<PublishedFile> files, ISet<string> large, CancellationToken cancellation)
    {
        var lines = new StringBuilder();
        lines.Append(new JsonObject { ["key"] = "header", ["value"] = new JsonObject { ["summary"] = message, ["description"] = "" } }.ToJsonString()).Append('\n');
        foreach (var file in files)
        {
            var line = large.Contains(file.Path)
                ? new JsonObject
                {
                    ["key"] = "lfsFile",
                    ["value"] = new JsonObject { ["path"] = file.Path, ["algo"] = "sha256", ["oid"] = file.Sha256, ["size"] = file.Size },
                }
                : new JsonObject
                {
                    ["key"] = "file",
                    ["value"] = new JsonObject { ["content"] = Convert.ToBase64String(file.ReadAll()), ["path"] = file.Path, ["encoding"] = "base64" },
                };
            lines.Append(line.ToJsonString()).Append('\n');
        }
        var body = Encoding.UTF8.GetBytes(lines.ToString());
        var address = new Uri(endpoint, $"api/models/{repository}/commit/{Escape(revision)}{Query(pullRequest)}");
        var answer = session.Send(_ =>
        {
            var request = Authorized(HttpMethod.Post, address);
            request.Content = new ByteArrayContent(body);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/x-ndjson");
            return request;
        }, cancellation);
        if (!answer.IsSuccess || answer.Json() is not JsonObject json)
            throw Refused(answer, "committing");
        return (Text(json, "commitOid", "commit"), json["pullRequestUrl"]?.ToString());
    }

    private JsonObject Get(string path, string doing, CancellationToken cancellation)
    {
        var answer = Call(HttpMethod.Get, path, null, cancellation);
        return answer.IsSuccess && answer.Json() is JsonObject json ? json : throw Refused(answer, doing);
    }

    private HttpAnswer Call(HttpMethod method, string path, JsonObject? body, CancellationToken cancellation, string type = "application/json")
    {
        var address = new Uri(endpoint, path);
        return session.Send(_ => body is null ? Authorized(method, address) : WithBody(Authorized(method, address), body, type), cancellation);
    }

    private HttpRequestMessage Authorized(HttpMethod method, Uri address)
    {
        var request = new HttpRequestMessage(method, address);
        if (address.GetLeftPart(UriPartial.Authority) == endpoint.GetLeftPart(UriPartial.Authority))
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token.Reveal());
        return request;
    }

    private static HttpRequestMessage WithBody(HttpRequestMessage request, JsonObject body, string type)
    {
        request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body.ToJsonString()));
        request.Content.Headers.ContentType = new MediaTypeHeaderValue(type);
        if (type == LfsType)
            request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(LfsType));
        return request;
    }

    private static string Query(bool pullRequest) => pullRequest ? "?create_pr=1" : "";

    private static string Escape(string revision) => Uri.EscapeDataString(revision);

    private Uri? NextPage(string? link)
    {
        foreach (var part in link?.Split(',') ?? [])
        {
            var (open, close) = (part.IndexOf('<'), part.IndexOf('>'));
            if (open >= 0 && close > open && part[close..].Contains("rel=\"next\"", StringComparison.Ordinal))
                return new Uri(endpoint, part[(open + 1)..close]);
        }
        return null;
    }

    private static long Number(JsonObject json, string key) =>
        json[key] is JsonValue value && value.TryGetValue<long>(out var number) ? number : throw Unexpected(key, "tree");

    private static string Text(JsonObject json, string key, string where) =>
        json[key] is JsonValue value && value.TryGetValue<string>(out var text) ? text : throw Unexpected(key, where);

    private static AwqException Unexpected(string key, string where) => new("HubAnswerInvalid", AwqErrorKind.InvalidData,
        string.Create(CultureInfo.InvariantCulture, $"The hub's answer ({where}) has no '{key}'."), "Check that the endpoint (HF_ENDPOINT) is a Hugging Face Hub.");

    private AwqException Refused(HttpAnswer answer, string doing)
    {
        var text = $"{endpoint.Host} refused {doing}: {answer.ErrorText(token.RemoveFrom)}";
        return answer.Status switch
        {
            401 => new AwqException("HubTokenRefused", AwqErrorKind.PermissionDenied, text, "The token is wrong or expired: make a new one with the right to write."),
            403 => new AwqException("HubAccessDenied", AwqErrorKind.PermissionDenied, text, "Use a token with the right to write to this repository."),
            404 => new AwqException("HubNotFound", AwqErrorKind.NotFound, text, "Check the names of repository and branch, and that the token may see them."),
            429 => new AwqException("HubBusy", AwqErrorKind.ResourceUnavailable, text, "The hub limits this account: run the command again later."),
            _ => new AwqException("HubRequestFailed", AwqErrorKind.ResourceUnavailable, text, "Run the command again: what was sent is not sent twice."),
        };
    }
}
