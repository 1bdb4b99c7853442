using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>vLLM's rules, for each number of devices that was asked for.</summary>
internal sealed class VllmCheck : OutputCheck
{
    public override string Name => "Vllm";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder.Model is not { } model)
        {
            yield return NotRun("The architecture is not clear.");
            yield break;
        }
        var groups = folder.Quantization is { } config ? [config.GroupSize] : GroupSizes(folder);
        if (groups.Count != 1)
        {
            yield return NotRun($"The rules are for one size of groups, and there are {groups.Count}.");
            yield break;
        }
        var linears = Linears(model);
        foreach (var size in folder.Options.TensorParallelSizes.Distinct().Order())
        {
            foreach (var kind in VllmRules.Check(linears, groups[0], size).GroupBy(p => (p.Severity, Kind: Kind(p.Module), p.Message)))
            {
                var (first, more) = (kind.First(), kind.Count() - 1);
                var where = size == 1 ? "On one device" : $"With tensor parallelism over {size} devices";
                var and = more > 0 ? $" (and {more} more like it)" : "";
                yield return first.Severity == VllmSeverity.DoesNotLoad
                    ? Failed(first.Module, $"{where} vLLM does not load it: {first.Message}{and}.")
                    : Warning(first.Module, $"{where} vLLM uses its slow kernel: {first.Message}{and}.");
            }
        }
    }

    /// <summary>Of a checkpoint that does not name it: inputs over groups of each module.</summary>
    private static List<int> GroupSizes(OutputFolder folder) =>
        [.. folder.Model!.QuantizedModules.Select(m => (int)(folder.Model.Tensors.Shape(m + ".weight")[1] / folder.Tensors[folder.ScalesOf(m)].Shape[1])).Distinct()];

    private static List<VllmLinear> Linears(ModelSource model)
    {
        var linears = new List<VllmLinear>();
        foreach (var layer in model.Graph.Layers)
        {
            var heads = layer.Blocks.OfType<AttentionSpec>().SelectMany(a => new[] { (a.Key, a.KvHeads), (a.Value, a.KvHeads) })
                .Where(p => p.Item1.Length > 0).DistinctBy(p => p.Item1).ToDictionary(p => p.Item1, p => p.Item2);
            foreach (var linear in layer.Linears)
            {
                var module = layer.Prefix + linear.Module;
                linears.Add(new VllmLinear(module, linear.In, linear.Out, model.QuantizedModules.Contains(module),
                    linear.KeepFloatReason is null ? VllmLinear.SplitByName(module) : ParallelSplit.None,
                    linear.FusedWith is null ? null : layer.Prefix + linear.FusedWith, linear.Expert >= 0, linear.KeepFloatReason == "router",
                    heads.TryGetValue(linear.Module, out var count) ? count : null));
            }
        }
        return linears;
    }

    /// <summary>The module without its numbers: layers and experts are alike.</summary>
    private static string Kind(string module) => string.Join('.', module.Split('.').Where(p => !int.TryParse(p, out _)));

    protected override string Praise(OutputFolder folder) =>
        $"vLLM loads it with its fast kernel on {string.Join(", ", folder.Options.TensorParallelSizes.Distinct().Order())} device(s).";
}
