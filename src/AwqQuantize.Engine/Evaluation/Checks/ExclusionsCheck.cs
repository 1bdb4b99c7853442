using AwqQuantize.Engine.Packing;

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
        if (folder is { Model: { } packed, Packed: { } ignore })
        {
            foreach (var finding in Find(packed, ignore))
                yield return finding;
            yield break;
        }
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

    /// <summary>The same for compressed-tensors, whose list is called ignore and names modules in full or as patterns.</summary>
    private IEnumerable<AwqCheck> Find(ModelSource model, CompressedTensorsConfig config)
    {
        foreach (var module in model.QuantizedModules.Where(config.IsIgnored).Order(StringComparer.Ordinal))
            yield return Failed(module, "The module is quantised, and the list ignore tells readers that it is not.");
        foreach (var (layer, linear) in model.Graph.Layers.SelectMany(l => l.Linears.Select(x => (l, x))))
        {
            var module = layer.Prefix + linear.Module;
            // Routers are no linears to those who wrote it, and stay float unnamed.
            if (linear.KeepFloatReason is null && !model.QuantizedModules.Contains(module) && !config.IsIgnored(module))
                yield return Failed(module, "The module stayed float, and the list ignore does not say so: readers look for its codes.");
        }
    }

    protected override string Praise(OutputFolder folder) => folder.Packed is not null ? "The list ignore means what stayed float." :
        folder.Quantization!.ModulesToNotConvert is { Count: > 0 } entries ? $"{Subject} ({string.Join(", ", entries)}) means what stayed float." : "Nothing stayed float that would have to be named.";
}
