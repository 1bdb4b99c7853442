namespace AwqQuantize.Engine.Evaluation;

/// <summary>Every tensor that the architecture needs is there with its shape, and no other.</summary>
internal sealed class ArchitectureCheck : OutputCheck
{
    public override string Name => "Architecture";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder.ModelError is { } error)
            yield return Failed("", error.Message);
        else if (folder.Model is null)
            yield return Failed("", "The checkpoint is not quantised.");
        else if (folder.Model.QuantizedModules.Count == 0)
            yield return Failed("", "config.json announces AWQ, and no module is quantised.");
        if (folder.Model is { Graph.IgnoredTensors: { Count: > 0 } ignored })
            yield return Warning(ignored[0], $"{ignored.Count} tensors mean nothing to this architecture.");
    }

    protected override string Praise(OutputFolder folder) =>
        $"{folder.Model!.Graph.ModelType}: {folder.Model.Graph.LayerCount} layers, {folder.Model.QuantizedModules.Count} quantised modules, every tensor in its place.";
}
