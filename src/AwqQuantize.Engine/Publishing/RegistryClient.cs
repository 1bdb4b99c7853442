using System.Globalization;
using System.Net.Http.Headers;
using System.Text;

namespace AwqQuantize.Engine.Publishing;

/// <summary>The OCI distribution API of one repository, as far as publishing needs it, with basic and bearer authentication.</summary>
internal sealed class RegistryClient(RegistryReference reference, RegistryCredentials? credentials, HttpSession session, int chunkBytes)
{
    private const int Restarts = 4;
    private const int ChunkTries = 8;

    private AuthenticationHeaderValue? authorization;

    /// <summary>Whether the registry holds a blob of that size.</summary>
    public bool HasBlob(string digest, long size, CancellationToken cancellation)
    {
        var answer = Send(HttpMethod.Head, Api($"blobs/{digest}"), null, cancellation);
        if (answer.Status == 404)
            return false;
        if (!answer.IsSuccess)
            throw Refused(answer, $"looking for {digest}");
        return answer.ContentHeaders.ContentLength is not { } length || length == size;
    }

    /// <summary>Uploads a file in pieces. After a failure it asks how much arrived and goes on there.</summary>
    /// <exception cref="AwqException">The registry refuses it, or cannot be reached.</exception>
    public void Upload(PublishedFile file, Action<long> reached, CancellationToken cancellation)
    {
        for (var start = 1; ; start++)
        {
            var answer = Send(HttpMethod.Post, Api("blobs/uploads/"), () => new ByteArrayContent([]), cancellation);
            if (answer.Status != 202)
                throw Refused(answer, $"beginning the upload of '{file.Path}'");
            if (UploadFrom(Location(answer), file, reached, cancellation))
                return;
            if (start == Restarts)
            {
                throw new AwqException("RegistryUploadFailed", AwqErrorKind.ResourceUnavailable,
                    $"The upload of '{file.Path}' to {reference.Host} broke off {Restarts} times.", "Run the command again: files that arrived are not sent twice.");
            }
        }
    }

    /// <summary>Stores a manifest under a tag.</summary>
    public void PutManifest(byte[] manifest, string mediaType, CancellationToken cancellation)
    {
        var answer = Send(HttpMethod.Put, Api($"manifests/{reference.Tag}"), () =>
        {
            var content = new ByteArrayContent(manifest);
            content.Headers.ContentType = new MediaTypeHeaderValue(mediaType);
            return content;
        }, cancellation);
        if (!answer.IsSuccess)
            throw Refused(answer, "storing the manifest");
    }

    /// <summary>A manifest's bytes.</summary>
    public byte[] Manifest(string tagOrDigest, string mediaType, CancellationToken cancellation)
    {
        var answer = Send(HttpMethod.Get, Api($"manifests/{tagOrDigest}"), null, cancellation, mediaType);
        return answer.IsSuccess ? answer.Body : throw Refused(answer, "reading the manifest back");
    }

    /// <returns>False when the registry has lost the upload, so that it has to begin anew.</returns>
    private bool UploadFrom(Uri location, PublishedFile file, Action<long> reached, CancellationToken cancellation)
    {
        long offset = 0;
        var failures = 0;
        while (offset < file.Size)
        {
            HttpAnswer? answer = null;
            try
            {
                answer = SendChunk(location, file, offset, Math.Min(chunkBytes, file.Size - offset), reached, cancellation);
            }
            catch (Exception e) when (!cancellation.IsCancellationRequested && HttpSession.IsBroken(e))
            {
                // What arrived is asked below.
            }
            if (answer?.Status == 202)
            {
                location = Location(answer);
                offset = Received(answer) ?? throw Refused(answer, "telling how much arrived");
                failures = 0;
                continue;
            }
            if (answer is not null && !HttpSession.IsTemporary(answer.Status) && answer.Status is not (404 or 416))
                throw Refused(answer, $"taking '{file.Path}'");
            if (++failures == ChunkTries)
                return false;
            session.Pause(TimeSpan.FromMilliseconds(Math.Min(30_000, 250 * Math.Pow(2, failures))), cancellation);
            var status = Send(HttpMethod.Get, location, null, cancellation);
            if (status.Status != 204)
                return false;
            location = status.Headers.Location is null ? location : Location(status);
            offset = Received(status) ?? 0;
            reached(offset);
        }
        var digest = Uri.EscapeDataString("sha256:" + file.Sha256);
        var end = new Uri(location + (location.Query.Length == 0 ? "?" : "&") + "digest=" + digest);
        var finished = Send(HttpMethod.Put, end, () => new ByteArrayContent([]), cancellation);
        if (finished.Status == 404)
            return false;
        return finished.IsSuccess ? true : throw Refused(finished, $"completing '{file.Path}'");
    }

    private HttpAnswer SendChunk(Uri location, PublishedFile file, long offset, long length, Action<long> reached, CancellationToken cancellation)
    {
        var end = offset + length - 1;
        HttpRequestMessage Request(Action tick)
        {
            var at = offset;
            var request = new HttpRequestMessage(HttpMethod.Patch, location) { Content = new FileSlice(file, offset, length, bytes => { tick(); reached(at += bytes); }) };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
            request.Content.Headers.TryAddWithoutValidation("Content-Range", string.Create(CultureInfo.InvariantCulture, $"{offset}-{end}"));
            Authorize(request);
            return request;
        }
        // Not repeated blindly: how much arrived decides what comes next.
        var answer = session.SendOnce(Request, cancellation);
        if (answer.Status == 401 && Authenticate(answer, cancellation))
            answer = session.SendOnce(Request, cancellation);
        return answer;
    }

    private HttpAnswer Send(HttpMethod method, Uri address, Func<HttpContent>? content, CancellationToken cancellation, string? accept = null)
    {
        HttpRequestMessage Request(Action tick)
        {
            var request = new HttpRequestMessage(method, address) { Content = content?.Invoke() };
            if (accept is not null)
                request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(accept));
            Authorize(request);
            return request;
        }
        var answer = session.Send(Request, cancellation);
        if (answer.Status == 401 && Authenticate(answer, cancellation))
            answer = session.Send(Request, cancellation);
        return answer;
    }

    private void Authorize(HttpRequestMessage request)
    {
        // Uploads may be sent on to storage elsewhere; the credentials are for the registry.
        if (request.RequestUri!.GetLeftPart(UriPartial.Authority) == reference.Address.GetLeftPart(UriPartial.Authority))
            request.Headers.Authorization = authorization;
    }

    /// <summary>Answers a challenge; false where there is nothing (more) to answer it with.</summary>
    private bool Authenticate(HttpAnswer answer, CancellationToken cancellation)
    {
        var before = authorization;
        var challenge = answer.Headers.WwwAuthenticate.FirstOrDefault(c => c.Scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase))
            ?? answer.Headers.WwwAuthenticate.FirstOrDefault(c => c.Scheme.Equals("Basic", StringComparison.OrdinalIgnoreCase));
        if (challenge is null)
            return false;
        if (challenge.Scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase))
            authorization = new AuthenticationHeaderValue("Bearer", BearerToken(Parameters(challenge.Parameter ?? ""), cancellation));
        else if (credentials is { User.Length: > 0 })
            authorization = Basic();
        // The same answer twice would be refused twice.
        return authorization is not null && authorization.ToString() != before?.ToString();
    }

    private string BearerToken(Dictionary<string, string> challenge, CancellationToken cancellation)
    {
        if (!challenge.TryGetValue("realm", out var realm) || !Uri.TryCreate(realm, UriKind.Absolute, out var address)
            || (address.Scheme != Uri.UriSchemeHttps && !address.IsLoopback))
        {
            throw new AwqException("RegistryChallengeInvalid", AwqErrorKind.InvalidData,
                $"{reference.Host} names no safe address at which to get a token.", "Check the registry's authentication settings.");
        }
        challenge.TryGetValue("service", out var service);
        var scope = challenge.TryGetValue("scope", out var asked) ? asked : $"repository:{reference.Repository}:pull,push";
        HttpAnswer answer;
        if (credentials is { User.Length: 0 })
        {
            var form = new Dictionary<string, string>
            {
                ["grant_type"] = "refresh_token", ["refresh_token"] = credentials.Password.Reveal(), ["client_id"] = "AwqQuantize",
                ["service"] = service ?? "", ["scope"] = scope,
            };
            answer = session.Send(_ => new HttpRequestMessage(HttpMethod.Post, address) { Content = new FormUrlEncodedContent(form) }, cancellation);
        }
        else
        {
            var query = $"service={Uri.EscapeDataString(service ?? "")}&scope={Uri.EscapeDataString(scope)}";
            var get = new UriBuilder(address) { Query = address.Query.Length > 1 ? address.Query[1..] + "&" + query : query }.Uri;
            answer = session.Send(_ =>
            {
                var request = new HttpRequestMessage(HttpMethod.Get, get);
                request.Headers.Authorization = credentials is null ? null : Basic();
                return request;
            }, cancellation);
        }
        if (!answer.IsSuccess)
            throw Refused(answer, "logging in");
        var json = answer.Json();
        return (json?["token"] ?? json?["access_token"])?.ToString() is { Length: > 0 } token ? new Secret(token).Reveal() : throw Refused(answer, "giving a token");
    }

    private AuthenticationHeaderValue Basic() =>
        new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{credentials!.User}:{credentials.Password.Reveal()}")));

    /// <summary>The parts of <c>realm="…",service="…",scope="a:b:pull,push"</c>.</summary>
    internal static Dictionary<string, string> Parameters(string text)
    {
        var parameters = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < text.Length;)
        {
            var equals = text.IndexOf('=', i);
            if (equals < 0)
                break;
            var name = text[i..equals].Trim(' ', ',');
            var quoted = equals + 1 < text.Length && text[equals + 1] == '"';
            var start = quoted ? equals + 2 : equals + 1;
            var end = text.IndexOf(quoted ? '"' : ',', start);
            if (end < 0)
                end = text.Length;
            parameters[name] = text[start..end];
            i = end + 1;
        }
        return parameters;
    }

    /// <summary>Bytes that arrived, from <c>Range: 0-N</c>; an empty upload reads 0-0, like one of a single byte.</summary>
    private static long? Received(HttpAnswer answer)
    {
        var range = answer.Header("Range");
        if (range is null || !long.TryParse(range.AsSpan(range.IndexOf('-') + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var last))
            return null;
        return last == 0 ? 0 : last + 1;
    }

    private Uri Api(string path) => new(reference.Address, $"v2/{reference.Repository}/{path}");

    private Uri Location(HttpAnswer answer) =>
        answer.Headers.Location is { } location ? new Uri(reference.Address, location) : throw Refused(answer, "naming an address for the upload");

    private string Hide(string text)
    {
        if (authorization?.Parameter is { Length: > 0 } sent)
            text = text.Replace(sent, "***", StringComparison.Ordinal);
        if (credentials is null)
            return text;
        text = credentials.Password.RemoveFrom(text);
        return text.Replace(Basic().Parameter!, "***", StringComparison.Ordinal);
    }

    private AwqException Refused(HttpAnswer answer, string doing)
    {
        // Careless servers quote what they were sent, in the form in which it was sent.
        var text = $"{reference.Host} refused {doing}: {answer.ErrorText(Hide)}";
        return answer.Status switch
        {
            401 or 403 => new AwqException("RegistryAccessDenied", AwqErrorKind.PermissionDenied, text,
                $"Log in with 'docker login {reference.Host}' as a user who may push to '{reference.Repository}'."),
            404 => new AwqException("RegistryNotFound", AwqErrorKind.NotFound, text, "Check the name; some registries want the repository to be created first."),
            413 => new AwqException("RegistryTooLarge", AwqErrorKind.LimitExceeded, text, "Use smaller shards or chunks, or raise the registry's limit."),
            _ => new AwqException("RegistryRequestFailed", AwqErrorKind.ResourceUnavailable, text, "Run the command again: what arrived is not sent twice."),
        };
    }
}
