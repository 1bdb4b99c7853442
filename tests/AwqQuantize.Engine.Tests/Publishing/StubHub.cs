using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Tests.Publishing;

/// <summary>
/// A hub in this process, strict about what it is sent: repositories, branches, commits, listings in pages, large file
/// storage with whole and multipart transfers at an address of its own. The official JavaScript client publishes to it as
/// well, so that it is a hub and not our idea of one.
/// </summary>
internal sealed partial class StubHub : IDisposable
{
    public const string Token = "hf_stubTokenThatNobodyMaySee123";
    public const int PartSize = 64 << 10;
    private const int MultipartFrom = 100 << 10;
    private const int PageSize = 3;

    private readonly HttpListener listener = new();
    private readonly Lock gate = new();
    private readonly Dictionary<string, Dictionary<string, string>> branches = [];
    private readonly Dictionary<string, SortedDictionary<string, StubFile>> commits = [];
    private readonly Dictionary<string, byte[]> storage = [];
    private readonly Dictionary<string, byte[]> parts = [];
    private readonly string storageAddress;

    public StubHub()
    {
        var (hub, store) = (FreePort(), FreePort());
        Address = $"http://127.0.0.1:{hub}";
        storageAddress = $"http://127.0.0.1:{store}";
        listener.Prefixes.Add(Address + "/");
        listener.Prefixes.Add(storageAddress + "/");
        listener.Start();
        new Thread(Serve) { IsBackground = true }.Start();
    }

    public sealed record StubFile(string Path, byte[] Content, bool Large);

    public string Address { get; }

    /// <summary>Every request: method, path with query, and whether it went to the storage.</summary>
    public List<(string Method, string Path, bool Storage)> Requests { get; } = [];

    /// <summary>A status to answer with in place of the right one; -1 breaks the connection, null lets the request pass.</summary>
    public Func<string, string, int?> Fault { get; set; } = (_, _) => null;

    /// <summary>Changes what the storage keeps: a hub that damages files.</summary>
    public Func<byte[], byte[]> Keep { get; set; } = bytes => bytes;

    public bool? Private { get; private set; }

    /// <summary>Things that a client did and should not have done.</summary>
    public List<string> Complaints { get; } = [];

    public IReadOnlyDictionary<string, StubFile> Files(string repository, string revision = "main")
    {
        lock (gate)
            return commits[branches[repository].GetValueOrDefault(revision, revision)];
    }

    public void Dispose()
    {
        listener.Stop();
        listener.Close();
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private void Serve()
    {
        while (listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = listener.GetContext();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }
            ThreadPool.QueueUserWorkItem(_ => Handle(context));
        }
    }

    private void Handle(HttpListenerContext context)
    {
        try
        {
            var request = context.Request;
            var path = request.RawUrl!;
            var toStorage = request.LocalEndPoint!.Port == new Uri(storageAddress).Port;
            lock (gate)
                Requests.Add((request.HttpMethod, path, toStorage));
            using var buffer = new MemoryStream();
            request.InputStream.CopyTo(buffer);
            if (Fault(request.HttpMethod, path) is { } fault)
            {
                if (fault < 0)
                {
                    // An answer that breaks off: aborting before the first byte would be sent as an empty success.
                    context.Response.ContentLength64 = 100;
                    context.Response.OutputStream.WriteByte((byte)'{');
                    context.Response.OutputStream.Flush();
                    context.Response.Abort();
                }
                else
                {
                    Answer(context, fault, new JsonObject { ["error"] = $"fault, token was {request.Headers["Authorization"]}" });
                }
                return;
            }
            lock (gate)
            {
                if (toStorage)
                    Store(context, path, buffer.ToArray());
                else
                    Api(context, Uri.UnescapeDataString(path.Split('?')[0]), path.Split('?').ElementAtOrDefault(1) ?? "", buffer.ToArray());
            }
        }
        catch (Exception e) when (e is HttpListenerException or IOException or ObjectDisposedException)
        {
            // The client went away.
        }
        catch (Exception e)
        {
            lock (gate)
                Complaints.Add(e.ToString());
            Answer(context, 400, new JsonObject { ["error"] = e.Message });
        }
    }

    private void Store(HttpListenerContext context, string path, byte[] body)
    {
        if (context.Request.Headers["Authorization"] is not null)
            Complaints.Add("The token went to the storage.");
        var segments = path.Trim('/').Split('/');
        switch (context.Request.HttpMethod, segments[0])
        {
            case ("PUT", "object"):
                if (Hash(body) != segments[1])
                    throw new InvalidOperationException("content does not have its hash");
                storage[segments[1]] = Keep(body);
                Answer(context, 200, null);
                break;
            case ("PUT", "part"):
                parts[$"{segments[1]}/{segments[2]}"] = body;
                context.Response.Headers["ETag"] = $"\"{Hash(body)[..12]}\"";
                Answer(context, 200, null);
                break;
            case ("POST", "complete"):
                var json = JsonNode.Parse(body)!;
                var pieces = json["parts"]!.AsArray().Select((p, i) =>
                {
                    if (p!["partNumber"]!.GetValue<int>() != i + 1)
                        throw new InvalidOperationException("parts out of order");
                    var piece = parts[$"{segments[1]}/{i + 1}"];
                    return p["etag"]!.ToString() == $"\"{Hash(piece)[..12]}\"" ? piece : throw new InvalidOperationException("wrong ETag");
                });
                var whole = pieces.SelectMany(p => p).ToArray();
                if (Hash(whole) != segments[1] || json["oid"]!.ToString() != segments[1])
                    throw new InvalidOperationException("parts do not make the file");
                storage[segments[1]] = Keep(whole);
                Answer(context, 200, new JsonObject());
                break;
            default:
                Answer(context, 404, null);
                break;
        }
    }

    private void Api(HttpListenerContext context, string path, string query, byte[] body)
    {
        if (context.Request.Headers["Authorization"] != "Bearer " + Token)
        {
            Answer(context, 401, new JsonObject { ["error"] = $"Invalid credentials: {context.Request.Headers["Authorization"]}" });
            return;
        }
        var method = context.Request.HttpMethod;
        var segments = path.Trim('/').Split('/');
        if (path == "/api/whoami-v2")
            Answer(context, 200, new JsonObject { ["type"] = "user", ["name"] = "me", ["auth"] = new JsonObject() });
        else if ((method, path) == ("POST", "/api/repos/create"))
            Create(context, JsonNode.Parse(body)!);
        else if (path.EndsWith(".git/info/lfs/objects/batch", StringComparison.Ordinal))
            Batch(context, string.Join('/', segments[0], segments[1][..^4]), JsonNode.Parse(body)!);
        else if (segments is ["lfs-verify", var oid])
            Answer(context, storage.TryGetValue(oid, out var kept) && kept.Length == (int)JsonNode.Parse(body)!["size"]! ? 200 : 404, null);
        else if (segments is ["api", "models", var space, var name, ..])
            Model(context, method, $"{space}/{name}", segments[4..], query, body);
        else if (segments is [var owner, var repo, "resolve", var revision, ..])
            Resolve(context, $"{owner}/{repo}", revision, string.Join('/', segments[4..]));
        else
            Answer(context, 404, new JsonObject { ["error"] = "Not found" });
    }

    private void Create(HttpListenerContext context, JsonNode body)
    {
        if (body["type"]?.ToString() is not (null or "model"))
            throw new InvalidOperationException("not a model");
        var name = $"{body["organization"] ?? "me"}/{body["name"]}";
        if (branches.ContainsKey(name))
        {
            Answer(context, 409, new JsonObject { ["error"] = "You already created this model repo" });
            return;
        }
        if (!name.StartsWith("me/", StringComparison.Ordinal))
        {
            Answer(context, 403, new JsonObject { ["error"] = "You don't have the rights to create a model under this namespace" });
            return;
        }
        Private = body["private"]?.GetValue<bool>() ?? body["visibility"]?.ToString() == "private";
        // A new repository has one commit with this file.
        var first = Commit([], new StubFile(".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"u8.ToArray(), false));
        branches[name] = new Dictionary<string, string> { ["main"] = first };
        Answer(context, 200, new JsonObject { ["url"] = $"{Address}/{name}", ["id"] = name });
    }

    private void Model(HttpListenerContext context, string method, string repository, string[] rest, string query, byte[] body)
    {
        if (!branches.TryGetValue(repository, out var heads))
        {
            Answer(context, 404, new JsonObject { ["error"] = "Repository not found" });
            return;
        }
        var revision = string.Join('/', rest.Skip(1));
        switch (method, rest.FirstOrDefault())
        {
            case ("GET", null):
                Answer(context, 200, new JsonObject { ["id"] = repository });
                break;
            case ("GET", "revision"):
                Answer(context, heads.ContainsKey(revision) ? 200 : 404, new JsonObject { ["sha"] = heads.GetValueOrDefault(revision) });
                break;
            case ("POST", "branch"):
                Answer(context, heads.TryAdd(revision, heads["main"]) ? 200 : 409, new JsonObject { ["error"] = "Reference already exists" });
                break;
            case ("GET", "tree"):
                Tree(context, heads, revision, query);
                break;
            case ("POST", "preupload"):
                var files = JsonNode.Parse(body)!["files"]!.AsArray().Select(f => (JsonNode)new JsonObject
                {
                    ["path"] = f!["path"]!.ToString(),
                    ["uploadMode"] = f["size"]!.GetValue<long>() > 4096 || f["path"]!.ToString().EndsWith(".safetensors", StringComparison.Ordinal)
                        || Convert.FromBase64String(f["sample"]!.ToString()).Contains((byte)0) ? "lfs" : "regular",
                    ["shouldIgnore"] = false,
                });
                Answer(context, 200, new JsonObject { ["files"] = new JsonArray([.. files]) });
                break;
            case ("POST", "commit"):
                TakeCommit(context, repository, heads, revision, query, Encoding.UTF8.GetString(body));
                break;
            default:
                Answer(context, 404, new JsonObject { ["error"] = "Not found" });
                break;
        }
    }

    private void Batch(HttpListenerContext context, string repository, JsonNode body)
    {
        if (!context.Request.ContentType!.StartsWith("application/vnd.git-lfs+json", StringComparison.Ordinal) || body["operation"]!.ToString() != "upload")
            throw new InvalidOperationException("no LFS upload");
        if (!branches.ContainsKey(repository))
            throw new InvalidOperationException("unknown repository");
        var objects = body["objects"]!.AsArray().Select(o =>
        {
            var (oid, size) = (o!["oid"]!.ToString(), o["size"]!.GetValue<long>());
            var result = new JsonObject { ["oid"] = oid, ["size"] = size };
            if (storage.ContainsKey(oid))
                return (JsonNode)result;
            var upload = new JsonObject { ["href"] = $"{storageAddress}/object/{oid}" };
            if (size > MultipartFrom)
            {
                upload["href"] = $"{storageAddress}/complete/{oid}";
                var header = new JsonObject { ["chunk_size"] = PartSize.ToString(CultureInfo.InvariantCulture) };
                for (var i = 1; i <= (size + PartSize - 1) / PartSize; i++)
                    header[i.ToString("D5", CultureInfo.InvariantCulture)] = $"{storageAddress}/part/{oid}/{i}";
                upload["header"] = header;
            }
            result["actions"] = new JsonObject { ["upload"] = upload, ["verify"] = new JsonObject { ["href"] = $"{Address}/lfs-verify/{oid}" } };
            return result;
        });
        Answer(context, 200, new JsonObject { ["transfer"] = "multipart", ["objects"] = new JsonArray([.. objects]) });
    }

    private static void Answer(HttpListenerContext context, int status, JsonNode? body)
    {
        context.Response.StatusCode = status;
        var bytes = body is null ? [] : Encoding.UTF8.GetBytes(body.ToJsonString());
        context.Response.ContentType = "application/json; charset=utf-8";
        context.Response.ContentLength64 = bytes.Length;
        context.Response.OutputStream.Write(bytes);
        context.Response.Close();
    }

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
