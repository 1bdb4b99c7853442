using System.Text.Json;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>One architecture description: a file, merged with those that it extends, checked against the grammar.</summary>
/// <param name="Name">File name without extension.</param>
/// <param name="File">Path of the file.</param>
/// <param name="Source">Which of the folders it comes from.</param>
/// <param name="Depth">How many descriptions it extends.</param>
/// <param name="Json">The merged description.</param>
internal sealed record Description(string Name, string File, int Source, int Depth, JsonObject Json)
{
    public IReadOnlyList<string> ModelTypes => [.. (Json["model_type"] as JsonArray ?? []).Select(t => t!.GetValue<string>())];

    /// <summary>Reads all descriptions of some folders; a file in a later folder replaces one of the same name.</summary>
    public static IReadOnlyList<Description> LoadAll(IEnumerable<string> folders)
    {
        var files = new SortedDictionary<string, (string File, int Source, JsonObject Json)>(StringComparer.Ordinal);
        foreach (var (source, folder) in folders.Index())
        {
            if (!Directory.Exists(folder) && !System.IO.File.Exists(folder))
            {
                throw new AwqException("ArchitecturePathNotFound", AwqErrorKind.NotFound, $"There is no '{folder}'.",
                    "Give an architecture description, or a folder that holds some.");
            }
            string[] found = System.IO.File.Exists(folder) ? [folder] : Directory.GetFiles(folder, "*.json");
            foreach (var file in found.Order(StringComparer.Ordinal))
            {
                var name = Path.GetFileNameWithoutExtension(file);
                if (name != "architecture.schema")
                    files[name] = (file, source, Parse(file));
            }
        }
        var merged = new Dictionary<string, Description>();
        foreach (var name in files.Keys)
            Merge(name, files, merged, []);
        return [.. files.Keys.Select(n => merged[n])];
    }

    private static JsonObject Parse(string file)
    {
        try
        {
            var options = new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true, AllowDuplicateProperties = false };
            return JsonNode.Parse(System.IO.File.ReadAllBytes(file), null, options) as JsonObject
                ?? throw Invalid(file, "the file holds no JSON object");
        }
        catch (JsonException e)
        {
            throw Invalid(file, e.Message);
        }
    }

    private static Description Merge(string name, IDictionary<string, (string File, int Source, JsonObject Json)> files,
        Dictionary<string, Description> merged, List<string> chain)
    {
        if (merged.TryGetValue(name, out var known))
            return known;
        var (file, source, json) = files[name];
        if (chain.Contains(name))
            throw Invalid(file, $"'extends': the descriptions {string.Join(", ", chain)} extend each other in a circle");
        DescriptionGrammar.Check(json, file, partial: true);
        var depth = 0;
        if (json["extends"] is { } parentName)
        {
            var parent = parentName.GetValue<string>();
            if (!files.ContainsKey(parent))
                throw Invalid(file, $"'extends': there is no description '{parent}'");
            var origin = Merge(parent, files, merged, [.. chain, name]);
            depth = origin.Depth + 1;
            var own = json;
            json = Patch(origin.Json, own);
            // A family's name belongs to its own file.
            json["model_type"] = own["model_type"]?.DeepClone() ?? new JsonArray();
        }
        DescriptionGrammar.Check(json, file, partial: (json["model_type"] as JsonArray)?.Count is null or 0);
        return merged[name] = new Description(name, file, source, depth, json);
    }

    /// <summary>JSON merge patch (RFC 7396), keeping the order of the parent's keys. In <c>let</c>, null is a value and removes nothing; lists of patterns are joined.</summary>
    private static JsonObject Patch(JsonObject target, JsonObject patch, bool removes = true)
    {
        var result = target.DeepClone().AsObject();
        foreach (var (key, value) in patch)
        {
            if (value is null && removes && result.ContainsKey(key))
                result.Remove(key);
            else if (key is "inert" or "ignored_tensors" && value is JsonArray more && result[key] is JsonArray known)
                result[key] = new JsonArray([.. known.Concat(more).Select(e => e?.DeepClone())]);
            else if (value is JsonObject o && result[key] is JsonObject below)
                result[key] = Patch(below, o, key != "let");
            else
                result[key] = value?.DeepClone();
        }
        return result;
    }

    internal static AwqException Invalid(string file, string what) => new("ArchitectureInvalid", AwqErrorKind.InvalidData, $"{file}: {what}.",
        "Correct the architecture description; module/Architectures/architecture.schema.json describes its form.");
}
