using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Tests.Publishing;

/// <summary>What is committed, listed and handed out.</summary>
internal sealed partial class StubHub
{
    private void TakeCommit(HttpListenerContext context, string repository, Dictionary<string, string> heads, string revision, string query, string body)
    {
        if (!heads.TryGetValue(revision, out var parent))
        {
            Answer(context, 404, new JsonObject { ["error"] = "Invalid rev id" });
            return;
        }
        var lines = body.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonNode.Parse(l)!).ToList();
        if (lines[0]["key"]!.ToString() != "header" || lines[0]["value"]!["summary"]!.ToString().Length == 0)
            throw new InvalidOperationException("the header must come first and have a summary");
        var files = lines.Skip(1).Select(line =>
        {
            var value = line["value"]!;
            var path = value["path"]!.ToString();
            return line["key"]!.ToString() switch
            {
                "file" when value["encoding"]!.ToString() == "base64" => new StubFile(path, Convert.FromBase64String(value["content"]!.ToString()), false),
                "lfsFile" when value["algo"]!.ToString() == "sha256" => new StubFile(path, storage[value["oid"]!.ToString()], true),
                _ => throw new InvalidOperationException("unknown operation"),
            };
        }).ToArray();
        var oid = Commit(commits[parent].Values, files);
        var answer = new JsonObject { ["success"] = true, ["commitOid"] = oid, ["commitUrl"] = $"{Address}/{repository}/commit/{oid}", ["hookOutput"] = "" };
        if (query.Contains("create_pr=1", StringComparison.Ordinal))
        {
            var number = heads.Keys.Count(k => k.StartsWith("refs/pr/", StringComparison.Ordinal)) + 1;
            heads[$"refs/pr/{number}"] = oid;
            answer["pullRequestUrl"] = $"{Address}/{repository}/discussions/{number}";
        }
        else
        {
            heads[revision] = oid;
        }
        Answer(context, 200, answer);
    }

    private string Commit(IEnumerable<StubFile> parent, params StubFile[] changes)
    {
        var tree = new SortedDictionary<string, StubFile>(StringComparer.Ordinal);
        foreach (var file in parent.Concat(changes))
            tree[file.Path] = file;
        var oid = Convert.ToHexStringLower(SHA1.HashData(Encoding.UTF8.GetBytes($"{commits.Count} {string.Join(' ', tree.Keys)}")));
        commits[oid] = tree;
        return oid;
    }

    private void Tree(HttpListenerContext context, Dictionary<string, string> heads, string revision, string query)
    {
        if (!commits.TryGetValue(heads.GetValueOrDefault(revision, revision), out var tree))
        {
            Answer(context, 404, new JsonObject { ["error"] = "Invalid rev id" });
            return;
        }
        var parameters = query.Split('&').Select(p => p.Split('=')).ToDictionary(p => p[0], p => p.ElementAtOrDefault(1));
        if (parameters["recursive"] != "true")
            throw new InvalidOperationException("only recursive listings are served");
        var start = int.Parse(parameters.GetValueOrDefault("cursor") ?? "0", CultureInfo.InvariantCulture);
        var folders = tree.Keys.Where(k => k.Contains('/')).Select(k => k[..k.LastIndexOf('/')]).Distinct();
        var entries = folders.Select(f => (JsonNode)new JsonObject { ["type"] = "directory", ["oid"] = "0", ["size"] = 0, ["path"] = f })
            .Concat(tree.Values.Select(f => (JsonNode)Entry(f))).ToList();
        if (start + PageSize < entries.Count)
            context.Response.Headers["Link"] = $"<{Address}/api/models/{context.Request.RawUrl!.Split("/api/models/")[1].Split('?')[0]}?recursive=true&cursor={start + PageSize}>; rel=\"next\"";
        Answer(context, 200, new JsonArray([.. entries.Skip(start).Take(PageSize)]));
    }

    private static JsonObject Entry(StubFile file)
    {
        var pointer = Encoding.UTF8.GetBytes($"version https://git-lfs.github.com/spec/v1\noid sha256:{Hash(file.Content)}\nsize {file.Content.Length}\n");
        var blob = file.Large ? pointer : file.Content;
        var entry = new JsonObject
        {
            ["type"] = "file", ["size"] = file.Content.Length, ["path"] = file.Path,
            ["oid"] = Convert.ToHexStringLower(SHA1.HashData([.. Encoding.UTF8.GetBytes($"blob {blob.Length}\0"), .. blob])),
        };
        if (file.Large)
            entry["lfs"] = new JsonObject { ["oid"] = Hash(file.Content), ["size"] = file.Content.Length, ["pointerSize"] = pointer.Length };
        return entry;
    }

    private void Resolve(HttpListenerContext context, string repository, string revision, string path)
    {
        var content = commits[branches[repository].GetValueOrDefault(revision, revision)][path].Content;
        context.Response.Headers["ETag"] = $"\"{Hash(content)}\"";
        if (context.Request.Headers["Range"] is { } range)
        {
            var bounds = range["bytes=".Length..].Split('-');
            var (start, end) = (int.Parse(bounds[0], CultureInfo.InvariantCulture), Math.Min(content.Length - 1, int.Parse(bounds[1], CultureInfo.InvariantCulture)));
            context.Response.Headers["Content-Range"] = $"bytes {start}-{end}/{content.Length}";
            context.Response.StatusCode = 206;
            content = content[start..(end + 1)];
        }
        context.Response.ContentLength64 = content.Length;
        context.Response.OutputStream.Write(content);
        context.Response.Close();
    }
}
