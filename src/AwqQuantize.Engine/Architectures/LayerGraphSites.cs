namespace AwqQuantize.Engine.Architectures;

/// <summary>The distinct inputs of a layer's linears, in the order in which the data reaches them.</summary>
public static class LayerGraphSites
{
    /// <summary>Sites of a block that all tokens pass, in order; an expert's own sites are not among them.</summary>
    public static IReadOnlyList<string> SitesOf(this LayerGraph graph, int block) =>
        [.. graph.Linears.Where(l => l.Expert < 0).Select(l => l.Site)
            .Concat(graph.Steps[block].Select(b => b.InputSite)).Concat(graph.Steps[block].Select(b => b.ExpertSite))
            .Distinct().Where(site => graph.BlockOf(site) == block)
            .OrderBy(site => graph.Blocks.Any(b => b.InputSite == site) ? 0 : graph.Blocks.Any(b => b.ExpertSite == site) ? 1 : 2)];

    /// <summary>The routed experts that read a site, each with all its linears; empty where none do.</summary>
    public static IEnumerable<IReadOnlyList<LinearSpec>> ExpertsBehind(this LayerGraph graph, string site) =>
        graph.Linears.Where(l => l.Expert >= 0 && InputOf(graph, l) == site).GroupBy(l => l.Expert).Select(g => g.ToList());

    private static int BlockOf(this LayerGraph graph, string site)
    {
        for (var i = 0; i < graph.BlockCount; i++)
            if (graph.Steps[i].Any(b => b.InputSite == site || site.StartsWith(b.Name + ".", StringComparison.Ordinal)))
                return i;
        throw new InvalidOperationException($"No block of layer {graph.Index} has an input '{site}'.");
    }

    private static string InputOf(LayerGraph graph, LinearSpec linear) =>
        graph.Blocks.First(b => linear.Site.StartsWith(b.Name + ".", StringComparison.Ordinal)).ExpertSite;
}
