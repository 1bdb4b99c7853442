namespace AwqQuantize.Engine.Architectures;

/// <summary>
/// A mixture of attention heads (jetmoe): keys and values are common, each expert has queries and an output of its own; the k
/// chosen experts' queries are k sets of heads over the same keys.
/// </summary>
public sealed record AttentionMixtureSpec : BlockSpec
{
    public required int Hidden { get; init; }

    public required RouterSpec Router { get; init; }

    public required int Count { get; init; }

    public required int PerToken { get; init; }

    /// <summary>Heads of keys and values, and of each expert's queries.</summary>
    public required int Heads { get; init; }

    public required int HeadDim { get; init; }

    /// <summary>One linear for [keys | values].</summary>
    public required string KeyValue { get; init; }

    /// <summary>Module of expert {e} that its stacked tensors are split into.</summary>
    public required string Prefix { get; init; }

    /// <summary>Stacked queries, [experts, width, hidden].</summary>
    public required string Queries { get; init; }

    /// <summary>Stacked outputs, [experts, hidden, width].</summary>
    public required string Outputs { get; init; }

    /// <summary>Parameter [hidden] that is added to the output.</summary>
    public string? OutputBias { get; init; }

    public RotarySpec? Rotary { get; init; }

    public int Width => Heads * HeadDim;

    public string Query(int expert) => $"{Prefix.Replace("{e}", $"{expert}")}.query";

    public string Output(int expert) => $"{Prefix.Replace("{e}", $"{expert}")}.output";

    public string InputSiteOf(int expert) => $"{Name}.experts.{expert}.input";

    public string HiddenSiteOf(int expert) => $"{Name}.experts.{expert}.hidden";

    internal static AttentionMixtureSpec Read(DescriptionNode node, BlockContext context)
    {
        var headDim = node.RequiredInteger("head_dim");
        return new AttentionMixtureSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            Router = RouterSpec.Read(node.Required("router")),
            Count = node.RequiredInteger("count"),
            PerToken = node.RequiredInteger("per_token"),
            Heads = node.RequiredInteger("heads"),
            HeadDim = headDim,
            KeyValue = node.RequiredText("key_value"),
            Prefix = node.RequiredText("prefix"),
            Queries = node.RequiredText("queries"),
            Outputs = node.RequiredText("outputs"),
            OutputBias = node.Text("output_bias_parameter"),
            Rotary = RotarySpec.Read(node, "rotary", headDim, context.MaxPositions),
        };
    }

    internal override void Describe(LayerPlan plan)
    {
        Router.Describe(plan, Hidden, Count, InputSite);
        plan.Linear(new LinearSpec(KeyValue, Hidden, 2 * Width, false, InputSite));
        for (var e = 0; e < Count; e++)
        {
            Stacked(new LinearSpec(Query(e), Hidden, Width, false, InputSiteOf(e), e, FusedWith: $"{Name}.experts"), Queries);
            Stacked(new LinearSpec(Output(e), Width, Hidden, false, HiddenSiteOf(e), e, FusedWith: $"{Name}.experts"), Outputs);
        }
        if (OutputBias is not null)
            plan.Parameter(OutputBias, Hidden);
        // Every expert's heads mix the same values.
        plan.Group($"{Name}.hidden", Width, new ScaleProducer(KeyValue, ScaleProducerKind.Linear, [.. Enumerable.Range(Width, Width)]),
            Enumerable.Range(0, Count).Select(e => new ScaleConsumer(Output(e))), feedsNonlinear: false);

        void Stacked(LinearSpec linear, string tensor) => plan.Linear(linear, new ParameterSpec($"{linear.Module}.weight", [linear.Out, linear.In],
            new StoredTensor(plan.Prefix + tensor, [Count, linear.Out, linear.In]), false, linear.Expert, Count));
    }

    internal override IEnumerable<string> InputConsumers(IEnumerable<LinearSpec> linears)
    {
        var sites = Enumerable.Range(0, Count).Select(InputSiteOf).Append(InputSite).ToHashSet();
        return linears.Where(l => sites.Contains(l.Site)).Select(l => l.Module);
    }
}
