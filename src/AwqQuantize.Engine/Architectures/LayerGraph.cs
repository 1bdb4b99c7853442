namespace AwqQuantize.Engine.Architectures;

/// <summary>One decoder layer of a model.</summary>
public sealed record LayerGraph
{
    public required int Index { get; init; }

    /// <summary>What the layer's tensor names begin with, e.g. <c>model.layers.3.</c>.</summary>
    public required string Prefix { get; init; }

    /// <summary>The residual branches, in order.</summary>
    public required IReadOnlyList<BlockSpec> Blocks { get; init; }

    /// <summary>All branches read the same residual stream and are added together: they count as one block.</summary>
    public required bool Parallel { get; init; }

    /// <summary>How many blocks <see cref="ScaleGroup.Block"/> can name.</summary>
    public int BlockCount => Parallel ? 1 : Blocks.Count;

    public required IReadOnlyList<LinearSpec> Linears { get; init; }

    /// <summary>Derived from the blocks: nobody writes these down.</summary>
    public required IReadOnlyList<ScaleGroup> ScaleGroups { get; init; }

    /// <summary>Everything that the layer computes with, and where it is stored.</summary>
    public required IReadOnlyList<ParameterSpec> Parameters { get; init; }

    /// <summary>Full names of the stored tensors that this layer claims.</summary>
    public required IReadOnlyList<string> TensorNames { get; init; }

    internal static LayerGraph Read(DescriptionNode layer, DescriptionNode norms, int index, int hidden, int maxPositions,
        IReadOnlySet<string> quantizedModules)
    {
        var prefix = layer.RequiredText("prefix").Replace("{i}", $"{index}") + ".";
        var parallel = layer.Flag("parallel", false);
        var blocks = new List<BlockSpec>();
        var order = layer.Texts("order").ToList();
        foreach (var (name, node) in layer.Required("blocks").Children().OrderBy(c => order.Contains(c.Key) ? order.IndexOf(c.Key) : order.Count))
        {
            var norm = node.Norm("norm", norms, hidden);
            // Parallel branches that read one norm read one activation.
            var twin = parallel && norm is { HasWeight: true } ? blocks.Find(b => b.Norm == norm) : null;
            var context = new BlockContext(name, hidden, maxPositions, norms, twin?.InputSite ?? $"{name}.input");
            blocks.Add(BlockSpec.ReadBlock(node, context) with
            {
                Norm = norm,
                OutputNorm = node.Norm("output_norm", norms, hidden),
                StreamNorm = node.Norm("stream_norm", norms, hidden),
                Multiplier = node.Number("multiplier") ?? 1,
                ResidualFromNorm = node.Flag("residual_from_norm", false),
            });
        }
        if (blocks.Count == 0)
            throw layer.Scope.Invalid($"{layer.Path}.blocks", $"layer {index} has no block");

        var plan = new LayerPlan(prefix, layer.Flag("transposed_linears", false));
        for (var b = 0; b < blocks.Count; b++)
        {
            plan.Block = parallel ? 0 : b;
            plan.Norm(blocks[b].Norm);
            plan.Norm(blocks[b].OutputNorm);
            plan.Norm(blocks[b].StreamNorm);
            blocks[b].Describe(plan);
        }
        // The norm's scales first: that is the order in which a quantiser can search them.
        var groups = plan.Groups.ToList();
        plan.Groups.Clear();
        foreach (var readers in blocks.Select((block, b) => (block, b)).GroupBy(x => x.block.InputSite))
        {
            var (first, at) = readers.First();
            plan.Block = parallel ? 0 : at;
            if (first.Norm is { } norm && !readers.Any(r => r.block.ResidualFromNorm))
                plan.NormGroup(norm, first.InputSite, readers.SelectMany(r => r.block.InputConsumers(plan.Linears)).Distinct());
        }
        var parameters = plan.Parameters.Select(p => Quantized(p, prefix, quantizedModules)).ToList();
        return new LayerGraph
        {
            Index = index,
            Prefix = prefix,
            Blocks = blocks,
            Parallel = parallel,
            Linears = plan.Linears,
            ScaleGroups = [.. plan.Groups.Concat(groups).OrderBy(g => g.Block)],
            Parameters = parameters,
            TensorNames = [.. parameters.Select(p => p.Stored.Name).Distinct()],
        };
    }

    /// <summary>A module that is stored quantised lies under its own name and dequantises to [out, in], whatever the family's float layout.</summary>
    private static ParameterSpec Quantized(ParameterSpec parameter, string prefix, IReadOnlySet<string> modules)
    {
        var full = prefix + parameter.Name;
        return modules.Contains(full[..full.LastIndexOf('.')])
            ? new ParameterSpec(parameter.Name, parameter.Shape, new StoredTensor(full, parameter.Shape, parameter.Stored.KeepFloat32))
            : parameter;
    }
}
