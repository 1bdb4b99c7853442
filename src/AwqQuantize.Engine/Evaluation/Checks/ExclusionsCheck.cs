namespace AwqQuantize.Engine.Evaluation;

/// <summary><c>modules_to_not_convert</c> means exactly the linears that stayed float, as readers match it: by substring.</summary>
internal sealed class ExclusionsCheck : OutputCheck
{
    private const string Subject = "modules_to_not_convert";

    // Written as a matter of course; readers leave the head alone anyway.
    private static readonly string[] Customary = ["lm_head", "embed_tokens"];

    public override string Name => "Exclusions";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder is not { Model: { } model, Quantization: { } config })
        {
            yield return NotRun("The architecture is not clear.");
            yield break;
        }
        foreach (var module in model.QuantizedModules.Where(config.IsExcluded).Order(StringComparer.Ordinal))
        {
            var entry = config.ModulesToNotConvert.First(e => module.Contains(e, StringComparison.Ordinal));
            yield return Failed(module, $"The module is quantised, and the entry '{entry}' of {Subject} tells readers that it is not.");
        }
        var linears = model.Graph.Layers.SelectMany(l => l.Linears.Select(x => (Module: l.Prefix + x.Module, x.KeepFloatReason))).ToList();
        foreach (var (module, reason) in linears.Where(l => !model.QuantizedModules.Contains(l.Module) && !config.IsExcluded(l.Module)))
        {
            yield return reason is null ? Failed(module, $"The module stayed float, and no entry of {Subject} says so: readers look for its codes.")
                : Warning(module, $"The {reason} stayed float, and no entry of {Subject} says so; not every reader knows that by itself.");
        }
        foreach (var entry in config.ModulesToNotConvert.Except(Customary).Where(e => !linears.Exists(l => l.Module.Contains(e, StringComparison.Ordinal))
            && !model.Tensors.Contains(e + ".weight") && !folder.Tensors.Keys.Any(t => t.Contains(e, StringComparison.Ordinal))))
            yield return Warning(Subject, $"The entry '{entry}' means no module.");
    }

    protected override string Praise(OutputFolder folder) =>
        folder.Quantization!.ModulesToNotConvert is { Count: > 0 } entries ? $"{Subject} ({string.Join(", ", entries)}) means what stayed float." : "Nothing stayed float that would have to be named.";
}
