namespace AwqQuantize.Engine.Evaluation;

/// <summary>Linears that readers fuse are all quantised or all float.</summary>
internal sealed class SiblingsCheck : OutputCheck
{
    public override string Name => "Siblings";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder.Model is not { } model)
        {
            yield return NotRun("The architecture is not clear.");
            yield break;
        }
        foreach (var layer in model.Graph.Layers)
        {
            foreach (var siblings in layer.Linears.Where(l => l.FusedWith is not null).GroupBy(l => l.FusedWith!))
            {
                var plain = siblings.Where(l => !model.QuantizedModules.Contains(layer.Prefix + l.Module)).ToList();
                if (plain.Count > 0 && plain.Count < siblings.Count())
                    yield return Failed(layer.Prefix + siblings.Key, $"Readers fuse it from {string.Join(", ", siblings.Select(s => s.Module))}, of which {string.Join(", ", plain.Select(p => p.Module))} stayed float.");
            }
        }
    }

    protected override string Praise(OutputFolder folder) => "Linears that readers fuse are quantised together or not at all.";
}
