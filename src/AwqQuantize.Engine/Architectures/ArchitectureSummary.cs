using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Architectures;

/// <summary>What <c>Get-AwqArchitecture</c> says of one description.</summary>
/// <param name="Name">Name of the description.</param>
/// <param name="ModelTypes">The config's model_type values that it is for.</param>
/// <param name="Extends">The description that it extends, or null.</param>
/// <param name="Blocks">Kinds of its blocks, in order.</param>
/// <param name="Features">What sets the graph apart, e.g. <c>parallel blocks</c>, <c>sliding window</c>, <c>stacked experts</c>.</param>
/// <param name="ScaleGroups">The groups that can be scaled, as <c>producer -> consumers</c>; those of experts named once.</param>
/// <param name="File">Path of the file.</param>
public sealed record ArchitectureSummary(
    string Name, IReadOnlyList<string> ModelTypes, string? Extends, IReadOnlyList<string> Blocks, IReadOnlyList<string> Features,
    IReadOnlyList<string> ScaleGroups, string File)
{
    internal static ArchitectureSummary Of(Description description)
    {
        var json = description.Json;
        var config = json["example"]?.DeepClone().AsObject() ?? [];
        var graph = ModelGraphBuilder.Build(description, description.ModelTypes[0], config, null, new HashSet<string>());
        var blocks = graph.Layers.SelectMany(l => l.Blocks).ToList();
        return new ArchitectureSummary(description.Name, description.ModelTypes, json["extends"]?.GetValue<string>(),
            [.. (json["layer"]!["blocks"] as JsonObject)!.Select(b => b.Value?["kind"]?.GetValue<string>()).OfType<string>().Distinct()],
            [.. FeaturesOf(graph, blocks).Distinct()],
            [.. graph.Layers.SelectMany(l => l.ScaleGroups).Select(g => Regex.Replace(g.Name, @"\.\d+\.", ".{e}.")).Select(Unrepeated).Distinct()], description.File);
    }

    private static string Unrepeated(string group)
    {
        var sides = group.Split(" -> ");
        return $"{sides[0]} -> {string.Join(", ", sides[1].Split(", ").Distinct())}";
    }

    private static IEnumerable<string> FeaturesOf(ModelGraph graph, List<BlockSpec> blocks)
    {
        if (graph.Layers.Any(l => l.Parallel))
            yield return "parallel blocks";
        if (blocks.Exists(b => b.Norm is { OnePlus: true }))
            yield return "1 + weight norms";
        if (blocks.Exists(b => b.OutputNorm is not null))
            yield return blocks.Exists(b => b.Norm is not null) ? "norms before and after" : "norms on outputs only";
        if (blocks.Exists(b => b.StreamNorm is not null))
            yield return "norms of the residual stream";
        foreach (var attention in blocks.OfType<AttentionSpec>())
        {
            if (attention.KvHeads < attention.Heads)
                yield return "grouped queries";
            if (attention.Fused is not null)
                yield return "fused qkv";
            if (attention.QueryNorm is not null)
                yield return "q/k norms";
            if (attention.Rotary is { Interleaved: true })
                yield return "interleaved rotary pairs";
            if (attention.Rotary is { } rotary && rotary.Dims < attention.HeadDim)
                yield return "partial rotary embedding";
            if (attention.Window > 0)
                yield return "sliding window";
            if (attention.Chunk > 0)
                yield return "chunked attention";
            if (attention.SoftCap > 0)
                yield return "soft caps";
            if (attention.Sinks is not null)
                yield return "attention sinks";
            if (attention.Alibi is not null)
                yield return "linear biases";
            if (attention.Gate is not null || attention.GatedQuery)
                yield return "gated attention";
        }
        if (graph.Embedding.Positions is not null)
            yield return "learned positions";
        foreach (var mixture in blocks.OfType<MixtureSpec>())
        {
            yield return "experts";
            if (mixture.Shared is not null)
                yield return "shared expert";
            if (mixture.Experts.Stacked is not null)
                yield return "stacked experts";
        }
    }
}
