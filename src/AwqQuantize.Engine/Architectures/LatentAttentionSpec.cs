namespace AwqQuantize.Engine.Architectures;

/// <summary>Latent attention (DeepSeek's MLA): keys and values are expanded from a small latent vector (arXiv 2405.04434).</summary>
public sealed record LatentAttentionSpec : BlockSpec
{
    public required int Hidden { get; init; }

    public required int Heads { get; init; }

    /// <summary>Channels of a head without position.</summary>
    public required int NopeDim { get; init; }

    /// <summary>Channels of a head with rotary embedding; their keys are shared by all heads.</summary>
    public required int RopeDim { get; init; }

    public required int ValueDim { get; init; }

    /// <summary>Rank of the queries' latent; 0 for none.</summary>
    public int QueryRank { get; init; }

    public required int KvRank { get; init; }

    /// <summary>The queries' linear: from the block's input, or from their latent.</summary>
    public required string Query { get; init; }

    public string QueryLatent { get; init; } = "";

    public NormSpec? QueryLatentNorm { get; init; }

    /// <summary>Linear to [kv latent | shared rotary key].</summary>
    public required string KvLatent { get; init; }

    public required NormSpec KvLatentNorm { get; init; }

    /// <summary>Linear from the latent to, per head, [key | value].</summary>
    public required string Kv { get; init; }

    public required string Output { get; init; }

    public bool Bias { get; init; }

    public bool OutputBias { get; init; }

    public RotarySpec? Rotary { get; init; }

    public required double Scale { get; init; }

    public string QuerySite => $"{Name}.query_latent";

    public string KvSite => $"{Name}.kv_latent";

    public string HiddenSite => $"{Name}.hidden";

    internal static LatentAttentionSpec Read(DescriptionNode node, BlockContext context)
    {
        var (queryRank, kvRank) = (node.Integer("query_rank") ?? 0, node.RequiredInteger("kv_rank"));
        var (nope, rope) = (node.RequiredInteger("nope_dim"), node.RequiredInteger("rope_dim"));
        return new LatentAttentionSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            Heads = node.RequiredInteger("heads"),
            NopeDim = nope,
            RopeDim = rope,
            ValueDim = node.RequiredInteger("value_dim"),
            QueryRank = queryRank,
            KvRank = kvRank,
            Query = node.RequiredText(queryRank > 0 ? "query_from_latent" : "query"),
            QueryLatent = queryRank > 0 ? node.RequiredText("query_latent") : "",
            QueryLatentNorm = queryRank > 0 ? node.Norm("query_latent_norm", context.Norms, queryRank) : null,
            KvLatent = node.RequiredText("kv_latent"),
            KvLatentNorm = node.Norm("kv_latent_norm", context.Norms, kvRank) ?? throw node.Scope.Invalid($"{node.Path}.kv_latent_norm", "is missing"),
            Kv = node.RequiredText("kv_from_latent"),
            Output = node.RequiredText("output"),
            Bias = node.Flag("bias", false),
            OutputBias = node.Flag("output_bias", false),
            Rotary = RotarySpec.Read(node, "rotary", rope, context.MaxPositions),
            Scale = node.Number("scale") ?? Math.Pow(nope + rope, -0.5),
        };
    }

    internal override void Describe(LayerPlan plan)
    {
        var together = LayerPlan.Sibling(KvLatent, "fused_qkv_a_proj");
        if (QueryRank > 0)
        {
            plan.Linear(new LinearSpec(QueryLatent, Hidden, QueryRank, Bias, InputSite, FusedWith: together));
            plan.Norm(QueryLatentNorm);
            plan.Linear(new LinearSpec(Query, QueryRank, Heads * (NopeDim + RopeDim), false, QuerySite));
            plan.NormGroup(QueryLatentNorm, QuerySite, [Query]);
        }
        else
            plan.Linear(new LinearSpec(Query, Hidden, Heads * (NopeDim + RopeDim), false, InputSite));
        plan.Linear(new LinearSpec(KvLatent, Hidden, KvRank + RopeDim, Bias, InputSite, FusedWith: QueryRank > 0 ? together : null));
        plan.Norm(KvLatentNorm);
        plan.Linear(new LinearSpec(Kv, KvRank, Heads * (NopeDim + ValueDim), false, KvSite));
        plan.NormGroup(KvLatentNorm, KvSite, [Kv]);
        plan.Linear(new LinearSpec(Output, Heads * ValueDim, Hidden, OutputBias, HiddenSite));
        var values = Enumerable.Range(0, Heads * ValueDim).Select(c => c / ValueDim * (NopeDim + ValueDim) + NopeDim + c % ValueDim).ToArray();
        plan.Group(HiddenSite, Heads * ValueDim, new ScaleProducer(Kv, ScaleProducerKind.Linear, values), [new ScaleConsumer(Output)],
            feedsNonlinear: false);
    }
}
