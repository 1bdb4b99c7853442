using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>A copy of a checkpoint that a test may damage. Reads and writes safetensors by itself, so that it can write nonsense.</summary>
internal sealed class Surgery : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public Surgery(string original)
    {
        foreach (var file in Directory.GetFiles(original))
            System.IO.File.Copy(file, folder.File(System.IO.Path.GetFileName(file)));
    }

    public sealed record Part(string Dtype, long[] Shape, byte[] Data);

    public string Path => folder.Path;

    public string File(string name) => folder.File(name);

    public void Write(string name, string text) => folder.Write(name, text);

    public void Delete(string name) => System.IO.File.Delete(File(name));

    /// <summary>Changes a JSON file.</summary>
    public void Json(string name, Action<JsonObject> change)
    {
        var root = JsonNode.Parse(System.IO.File.ReadAllText(File(name)))!.AsObject();
        change(root);
        Write(name, root.ToJsonString());
    }

    /// <summary>Changes the <c>quantization_config</c>.</summary>
    public void Quantization(Action<JsonObject> change) => Json("config.json", c => change(c["quantization_config"]!.AsObject()));

    /// <summary>Changes the tensors.</summary>
    public void Tensors(Action<Dictionary<string, Part>> change, bool format = true)
    {
        var tensors = Read(File("model.safetensors"));
        change(tensors);
        Save("model.safetensors", tensors, format);
    }

    /// <summary>Changes one tensor's bytes.</summary>
    public void Bytes(string name, Action<byte[]> change) => Tensors(t => change(t[name].Data));

    /// <summary>Changes one float16 tensor's values.</summary>
    public void Halves(string name, Func<int, Half, Half> change) => Bytes(name, data =>
    {
        for (var i = 0; i < data.Length / 2; i++)
            BinaryPrimitives.WriteHalfLittleEndian(data.AsSpan(2 * i), change(i, BinaryPrimitives.ReadHalfLittleEndian(data.AsSpan(2 * i))));
    });

    /// <summary>Changes one tensor's 32-bit words.</summary>
    public void Words(string name, Func<int, uint, uint> change) => Bytes(name, data =>
    {
        for (var i = 0; i < data.Length / 4; i++)
            BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(4 * i), change(i, BinaryPrimitives.ReadUInt32LittleEndian(data.AsSpan(4 * i))));
    });

    /// <summary>Two shards with an index in place of the single file; then the index is changed.</summary>
    public void Shard(Action<JsonObject>? changeIndex = null)
    {
        var tensors = Read(File("model.safetensors"));
        Delete("model.safetensors");
        var map = new JsonObject();
        string[] names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        foreach (var (shard, part) in tensors.Chunk((tensors.Count + 1) / 2).Select((c, i) => (names[i], c)))
        {
            Save(shard, part.ToDictionary(), true);
            foreach (var (name, _) in part)
                map[name] = shard;
        }
        var index = new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = tensors.Values.Sum(t => (long)t.Data.Length) }, ["weight_map"] = map };
        changeIndex?.Invoke(index);
        Write("model.safetensors.index.json", index.ToJsonString());
    }

    public static Dictionary<string, Part> Read(string file)
    {
        var bytes = System.IO.File.ReadAllBytes(file);
        var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        var header = JsonNode.Parse(Encoding.UTF8.GetString(bytes, 8, length))!.AsObject();
        return header.Where(p => p.Key != "__metadata__").ToDictionary(p => p.Key, p =>
        {
            var offsets = p.Value!["data_offsets"]!.AsArray().Select(o => o!.GetValue<int>()).ToArray();
            return new Part(p.Value["dtype"]!.GetValue<string>(), [.. p.Value["shape"]!.AsArray().Select(s => s!.GetValue<long>())], bytes[(8 + length + offsets[0])..(8 + length + offsets[1])]);
        });
    }

    public void Save(string name, Dictionary<string, Part> tensors, bool format)
    {
        var header = new JsonObject();
        if (format)
            header["__metadata__"] = new JsonObject { ["format"] = "pt" };
        var offset = 0;
        foreach (var (tensor, part) in tensors)
        {
            header[tensor] = new JsonObject
            {
                ["dtype"] = part.Dtype,
                ["shape"] = new JsonArray([.. part.Shape.Select(s => (JsonNode)s)]),
                ["data_offsets"] = new JsonArray(offset, offset += part.Data.Length),
            };
        }
        var text = Encoding.UTF8.GetBytes(header.ToJsonString());
        var prefix = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(prefix, (ulong)text.Length);
        System.IO.File.WriteAllBytes(File(name), [.. prefix, .. text, .. tensors.Values.SelectMany(t => t.Data)]);
    }

    public void Dispose() => folder.Dispose();
}
