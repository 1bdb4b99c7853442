using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>Every shard is whole, and the index says what is in the shards: no more, no less.</summary>
internal sealed class ShardsCheck : OutputCheck
{
    public override string Name => "Shards";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        foreach (var (name, error) in folder.BrokenFiles)
            yield return Failed(name, error.Message);
        foreach (var duplicate in folder.Files.SelectMany(f => f.Value.Tensors.Keys.Select(t => (Tensor: t, File: f.Key))).GroupBy(p => p.Tensor).Where(g => g.Count() > 1))
            yield return Failed(duplicate.Key, $"The tensor is in {string.Join(" and in ", duplicate.Select(d => d.File))}.");
        foreach (var (name, file) in folder.Files)
        {
            if (file.Metadata.GetValueOrDefault("format") != "pt")
                yield return Warning(name, "The metadata lack {\"format\": \"pt\"}, which transformers asks for.");
        }
        foreach (var name in folder.StrayFiles)
            yield return Warning(name, $"The file is no part of the checkpoint, which is {ModelFolder.SingleFile} alone.");
        if (!File.Exists(folder.File(ModelFolder.IndexFile)))
        {
            foreach (var name in folder.Files.Keys.Where(n => n != ModelFolder.SingleFile))
                yield return Failed(name, "There is no index that names this file, so readers do not see it.");
            yield break;
        }
        JsonObject? index = null;
        AwqCheck? broken = null;
        try
        {
            index = PythonJson.ReadObject(folder.File(ModelFolder.IndexFile));
        }
        catch (AwqException e)
        {
            broken = Failed(ModelFolder.IndexFile, e.Message);
        }
        if (index?["weight_map"] is not JsonObject map)
        {
            yield return broken ?? Failed(ModelFolder.IndexFile, "There is no weight_map in it.");
            yield break;
        }
        foreach (var finding in Compare(folder, map))
            yield return finding;
        var size = folder.Tensors.Values.Sum(t => t.ByteLength);
        if (index["metadata"]?["total_size"] is JsonValue value && value.TryGetValue<long>(out var total) && total != size)
            yield return Warning(ModelFolder.IndexFile, $"total_size is {total}, and the tensors have {size} bytes.");
    }

    private IEnumerable<AwqCheck> Compare(OutputFolder folder, JsonObject map)
    {
        var named = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (tensor, node) in map)
        {
            var file = (node as JsonValue)?.ToString() ?? "";
            if (named.Add(file) && !folder.Files.ContainsKey(file) && !folder.BrokenFiles.ContainsKey(file))
                yield return Failed(file, "The index names this file, and it is not there.");
            else if (folder.Files.TryGetValue(file, out var opened) && !opened.Tensors.ContainsKey(tensor))
                yield return Failed(tensor, $"The index places the tensor in {file}, which does not hold it.");
        }
        foreach (var (file, opened) in folder.Files)
        {
            if (!named.Contains(file))
                yield return Failed(file, "The index does not name this file, so readers do not see it.");
            else
                foreach (var tensor in opened.Tensors.Keys.Where(t => !map.ContainsKey(t)))
                    yield return Failed(tensor, $"{file} holds the tensor, and the index does not name it.");
        }
    }

    protected override string Praise(OutputFolder folder) =>
        File.Exists(folder.File(ModelFolder.IndexFile)) ? $"{folder.Files.Count} shards hold exactly the {folder.Tensors.Count} tensors that the index names." : $"One file with {folder.Tensors.Count} tensors.";
}
