using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Engine.Awq;

/// <summary>Linears of one layer that readers load as one module: they are quantised together or not at all.</summary>
/// <param name="Layer">Index of the layer.</param>
/// <param name="Name">The name that readers give to the whole, or the only linear's, relative to the layer.</param>
/// <param name="Modules">The linears, relative to the layer.</param>
/// <param name="Weights">Elements of their weights.</param>
public sealed record ModuleSet(int Layer, string Name, IReadOnlyList<string> Modules, long Weights)
{
    /// <summary>The sets of a layer, in the order of its linears.</summary>
    /// <param name="graph">The layer.</param>
    /// <param name="kept">Linears that stay float anyway.</param>
    /// <returns>
    /// Without sets that could not be named in <c>modules_to_not_convert</c>: readers match its entries as substrings, and an entry
    /// for such a set would also mean linears outside of it.
    /// </returns>
    public static IReadOnlyList<ModuleSet> Of(LayerGraph graph, IReadOnlyDictionary<string, string> kept)
    {
        var quantised = graph.Linears.Where(l => !kept.ContainsKey(l.Module)).ToList();
        var sets = new List<ModuleSet>();
        foreach (var siblings in quantised.GroupBy(l => l.FusedWith ?? l.Module))
        {
            var modules = siblings.Select(l => l.Module).ToHashSet();
            if (!quantised.Any(l => !modules.Contains(l.Module) && modules.Any(m => l.Module.Contains(m, StringComparison.Ordinal))))
                sets.Add(new ModuleSet(graph.Index, siblings.Key, [.. siblings.Select(l => l.Module)], siblings.Sum(l => (long)l.In * l.Out)));
        }
        return sets;
    }
}
