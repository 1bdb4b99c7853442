namespace AwqQuantize.Engine.Architectures;

/// <summary>One decoder layer of a model.</summary>
public sealed record LayerGraph
{
    public required int Index { get; init; }

    /// <summary>Width of the hidden states.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>What the layer's tensor names begin with, e.g. <c>model.layers.3.</c>.</summary>
    public required string Prefix { get; init; }

    /// <summary>The residual branches, in order.</summary>
    public required IReadOnlyList<BlockSpec> Blocks { get; init; }

    /// <summary>
    /// The branches in the order in which they run: those of one step read the same residual stream and are added together. To all that
    /// works on a layer (<see cref="ScaleGroup.Block"/>) a step is one block.
    /// </summary>
    public required IReadOnlyList<IReadOnlyList<BlockSpec>> Steps { get; init; }

    /// <summary>How many blocks <see cref="ScaleGroup.Block"/> can name.</summary>
    public int BlockCount => Steps.Count;

    /// <summary>Some branches read the same residual stream.</summary>
    public bool Parallel => Steps.Any(s => s.Count > 1);

    public required IReadOnlyList<LinearSpec> Linears { get; init; }

    /// <summary>Derived from the blocks: nobody writes these down.</summary>
    public required IReadOnlyList<ScaleGroup> ScaleGroups { get; init; }

    /// <summary>Everything that the layer computes with, and where it is stored.</summary>
    public required IReadOnlyList<ParameterSpec> Parameters { get; init; }

    /// <summary>Elements of all parameters.</summary>
    public long ElementCount => Parameters.Sum(p => p.Shape.Aggregate(1L, (a, b) => a * b));

    /// <summary>Full names of the stored tensors that this layer claims.</summary>
    public required IReadOnlyList<string> TensorNames { get; init; }

    internal static LayerGraph Read(DescriptionNode layer, DescriptionNode norms, int index, int hidden, int maxPositions,
        IReadOnlySet<string> quantizedModules)
    {
        var prefix = layer.RequiredText("prefix").Replace("{i}", $"{index}") + ".";
        var steps = new List<List<BlockSpec>>();
        var order = layer.Texts("order").ToList();
        var together = layer.Texts("parallel_blocks");
        var all = layer.Flag("parallel", false);
        foreach (var (name, node) in layer.Required("blocks").Children().OrderBy(c => order.Contains(c.Key) ? order.IndexOf(c.Key) : order.Count))
        {
            var norm = node.Norm("norm", norms, hidden);
            if (steps.Count == 0 || !all && !(together.Contains(name) && together.Contains(steps[^1][^1].Name)))
                steps.Add([]);
            // Parallel branches that read one norm read one activation.
            var twin = norm is { HasWeight: true } ? steps[^1].Find(b => b.Norm == norm) : null;
            var context = new BlockContext(name, hidden, maxPositions, norms, twin?.InputSite ?? $"{name}.input");
            steps[^1].Add(BlockSpec.ReadBlock(node, context) with
            {
                Norm = norm,
                OutputNorm = node.Norm("output_norm", norms, hidden),
                StreamNorm = node.Norm("stream_norm", norms, hidden),
                Multiplier = node.Number("multiplier") ?? 1,
                InputMultiplier = node.Number("input_multiplier") ?? 1,
                ResidualFromNorm = node.Flag("residual_from_norm", false),
            });
        }
        if (!all && steps.Count(s => s.Exists(b => together.Contains(b.Name))) > 1)
            throw layer.Scope.Invalid($"{layer.Path}.parallel_blocks", $"the blocks {string.Join(", ", together)} do not follow each other; see 'order'");
        if (steps.Count == 0)
            throw layer.Scope.Invalid($"{layer.Path}.blocks", $"layer {index} has no block");

        var plan = new LayerPlan(prefix, layer.Flag("transposed_linears", false));
        foreach (var (step, branches) in steps.Index())
        {
            plan.Block = step;
            foreach (var branch in branches)
            {
                plan.Norm(branch.Norm);
                plan.Norm(branch.OutputNorm);
                plan.Norm(branch.StreamNorm);
                branch.Describe(plan);
            }
        }
        // The norm's scales first: that is the order in which a quantiser can search them.
        var groups = plan.Groups.ToList();
        plan.Groups.Clear();
        foreach (var readers in steps.SelectMany((branches, step) => branches.Select(branch => (branch, step))).GroupBy(x => x.branch.InputSite))
        {
            var (first, step) = readers.First();
            plan.Block = step;
            if (first.Norm is { } norm && !readers.Any(r => r.branch.ResidualFromNorm))
                plan.NormGroup(norm, first.InputSite, readers.SelectMany(r => r.branch.InputConsumers(plan.Linears)).Distinct());
        }
        var parameters = plan.Parameters.Select(p => Quantized(p, prefix, quantizedModules)).ToList();
        return new LayerGraph
        {
            Index = index,
            HiddenSize = hidden,
            Prefix = prefix,
            Blocks = [.. steps.SelectMany(s => s)],
            Steps = steps,
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
