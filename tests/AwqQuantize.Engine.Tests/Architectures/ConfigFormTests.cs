using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Tests.Layers;

namespace AwqQuantize.Engine.Tests.Architectures;

/// <summary>The older and the newer form of config.json give the same rotary embeddings.</summary>
public sealed class ConfigFormTests
{
    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    [Theory]
    [MemberData(nameof(Cases))]
    public void BothFormsGiveTheSameFrequencies(string name)
    {
        using var model = ModelFolder.Open(Path.Combine(TinyModel.Root, name));
        var (config, shapes) = (model.Config.Root, model.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        var other = config.ContainsKey("rope_parameters") ? Older(config) : Newer(config);
        Assert.Equal(Rotary(Repository.Catalog.Resolve(config, shapes)), Rotary(Repository.Catalog.Resolve(other, shapes)));
    }

    private static JsonObject Older(JsonObject config)
    {
        var result = config.DeepClone().AsObject();
        var rope = result["rope_parameters"]!.AsObject();
        result.Remove("rope_parameters");
        foreach (var key in (string[])["rope_theta", "partial_rotary_factor"])
        {
            if (rope.Remove(key, out var value))
                result[key] = value;
        }
        result["rope_scaling"] = rope["rope_type"]?.GetValue<string>() == "default" ? null : rope.DeepClone();
        return result;
    }

    private static JsonObject Newer(JsonObject config)
    {
        var result = config.DeepClone().AsObject();
        var rope = result["rope_scaling"]?.DeepClone().AsObject() ?? new JsonObject { ["rope_type"] = "default" };
        result.Remove("rope_scaling");
        foreach (var (from, to) in ((string, string)[])[("rope_theta", "rope_theta"), ("rotary_emb_base", "rope_theta"),
            ("partial_rotary_factor", "partial_rotary_factor"), ("rotary_pct", "partial_rotary_factor")])
        {
            if (result.Remove(from, out var value))
                rope[to] = value;
        }
        if (!rope.ContainsKey("rope_theta"))
            return config;
        // One base per kind of layer makes the newer form nested.
        result["rope_parameters"] = result.Remove("rope_local_base_freq", out var local)
            ? new JsonObject { ["full_attention"] = rope, ["sliding_attention"] = new JsonObject { ["rope_type"] = "default", ["rope_theta"] = local } }
            : rope;
        return result;
    }

    private static List<string> Rotary(ModelGraph graph) => [.. graph.Layers.SelectMany(l => l.Blocks)
        .Select(b => b switch { AttentionSpec a => a.Rotary, LatentAttentionSpec a => a.Rotary, _ => null })
        .Select(r => r is null ? "none" : $"{r.Interleaved} {r.Frequencies(48).Factor} {string.Join(' ', r.Frequencies(48).Frequencies)}")];
}
