namespace AwqQuantize.Engine.Architectures;

/// <summary>How far a norm of queries or keys reaches.</summary>
public enum HeadNormSpan
{
    /// <summary>Each head by itself, one weight [head_dim] for all.</summary>
    Head,

    /// <summary>Each head by itself, a weight of its own per head: [heads, head_dim], or one module per head ({h} in its name).</summary>
    EachHead,

    /// <summary>All heads at once, weight [heads · head_dim].</summary>
    All,
}

/// <summary>A norm of queries or keys.</summary>
public sealed record HeadNormSpec(NormSpec Norm, HeadNormSpan Span, bool AfterRotary);

/// <summary>Attention with linear biases: slope · key position is added to the scores (arXiv 2108.12409).</summary>
/// <param name="Slopes">One per head.</param>
/// <param name="Scaled">The bias is multiplied by the softmax scale too.</param>
/// <param name="Bfloat16">The bias is rounded to bfloat16.</param>
public sealed record AlibiSpec(float[] Slopes, bool Scaled, bool Bfloat16);

/// <summary>Queries × (1 + strength · ln(1 + floor((position + offset) / period))).</summary>
public sealed record TemperatureSpec(double Strength, double Period, double Offset);

/// <summary>Softmax attention.</summary>
public sealed record AttentionSpec : BlockSpec
{
    public required int Heads { get; init; }

    public required int KvHeads { get; init; }

    public required int HeadDim { get; init; }

    public required int Hidden { get; init; }

    /// <summary>One module for queries, keys and values, or null.</summary>
    public string? Fused { get; init; }

    /// <summary>The rows of <see cref="Fused"/> are this many groups, each [queries, keys, values] of its share of the heads.</summary>
    public int FusedGroups { get; init; } = 1;

    /// <summary>Order within a group of <see cref="Fused"/>: <c>qkv</c> or <c>qvk</c>.</summary>
    public string FusedOrder { get; init; } = "qkv";

    public string Query { get; init; } = "";

    /// <summary>One module that gives, per kv head, [key | value], or null.</summary>
    public string? KeyValue { get; init; }

    public string Key { get; init; } = "";

    public string Value { get; init; } = "";

    public required string Output { get; init; }

    /// <summary>A linear of the block's input whose sigmoid multiplies the heads' outputs, or null.</summary>
    public string? Gate { get; init; }

    /// <summary>Per head, the query module gives [query | gate].</summary>
    public bool GatedQuery { get; init; }

    public bool Bias { get; init; }

    public bool OutputBias { get; init; }

    public HeadNormSpec? QueryNorm { get; init; }

    public HeadNormSpec? KeyNorm { get; init; }

    public RotarySpec? Rotary { get; init; }

    /// <summary>Factor of the scores.</summary>
    public required double Scale { get; init; }

    /// <summary>A query sees this many positions, its own included; 0 for all.</summary>
    public int Window { get; init; }

    /// <summary>Positions see each other within aligned chunks of this length; 0 for all.</summary>
    public int Chunk { get; init; }

    /// <summary>scores ← cap · tanh(scores / cap); 0 for none.</summary>
    public double SoftCap { get; init; }

    /// <summary>Queries, keys and values are clamped to ± this, before rotary embedding and after a norm over all heads; 0 for not.</summary>
    public double Clip { get; init; }

    /// <summary>Parameter [heads]: one more logit per head, dropped after the softmax.</summary>
    public string? Sinks { get; init; }

    public AlibiSpec? Alibi { get; init; }

    public TemperatureSpec? Temperature { get; init; }

    /// <summary>Head h uses kv head h % kv_heads in place of h / (heads / kv_heads).</summary>
    public bool TiledKv { get; init; }

    public string HiddenSite => $"{Name}.hidden";

    /// <summary>The kv head of each query head.</summary>
    public int KvHead(int head) => TiledKv ? head % KvHeads : head / (Heads / KvHeads);

    /// <summary>The rows of the values, in order of kv head and channel, within the module that makes them.</summary>
    public int[] ValueRows()
    {
        if (KeyValue is not null)
            return [.. Enumerable.Range(0, KvHeads * HeadDim).Select(r => r / HeadDim * 2 * HeadDim + HeadDim + r % HeadDim)];
        if (Fused is null)
            return [.. Enumerable.Range(0, KvHeads * HeadDim)];
        var (queries, values) = (Heads / FusedGroups, KvHeads / FusedGroups);
        var group = (queries + 2 * values) * HeadDim;
        var first = (FusedOrder == "qkv" ? queries + values : queries) * HeadDim;
        return [.. Enumerable.Range(0, FusedGroups).SelectMany(g => Enumerable.Range(g * group + first, values * HeadDim))];
    }

    internal static AttentionSpec Read(DescriptionNode node, BlockContext context)
    {
        var heads = node.RequiredInteger("heads");
        var kvHeads = node.Integer("kv_heads") ?? heads;
        var headDim = node.RequiredInteger("head_dim");
        if (heads <= 0 || kvHeads <= 0 || heads % kvHeads != 0)
            throw node.NotA($"a divisor of the {heads} heads", "kv_heads", kvHeads);
        var fused = node.Child("fused");
        var groups = fused?.Integer("groups") ?? 1;
        if (groups <= 0 || heads % groups != 0 || kvHeads % groups != 0)
            throw fused!.NotA($"a divisor of {heads} heads and {kvHeads} kv heads", "groups", groups);
        var both = node.Text("key_value");
        var temperature = node.Child("temperature");
        return new AttentionSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            Heads = heads,
            KvHeads = kvHeads,
            HeadDim = headDim,
            Fused = fused?.RequiredText("name"),
            FusedGroups = groups,
            FusedOrder = fused?.Keyword("order", "qkv", "qvk") ?? "qkv",
            Query = fused is null ? node.RequiredText("query") : "",
            KeyValue = both,
            Key = fused is null && both is null ? node.RequiredText("key") : "",
            Value = fused is null && both is null ? node.RequiredText("value") : "",
            Output = node.RequiredText("output"),
            Gate = node.Text("gate"),
            GatedQuery = node.Flag("gated_query", false),
            Bias = node.Flag("bias", false),
            OutputBias = node.Flag("output_bias", false),
            QueryNorm = HeadNorm(node, "query_norm", context, heads, headDim),
            KeyNorm = HeadNorm(node, "key_norm", context, kvHeads, headDim),
            Rotary = RotarySpec.Read(node, "rotary", headDim, context.MaxPositions),
            Scale = node.Number("scale") ?? Math.Pow(headDim, -0.5),
            Window = node.Integer("window") ?? 0,
            Chunk = node.Integer("chunk") ?? 0,
            SoftCap = node.Number("soft_cap") ?? 0,
            Clip = node.Number("clip") ?? 0,
            Sinks = node.Text("sinks"),
            Alibi = AlibiSlopes.Read(node.Child("alibi"), heads),
            Temperature = temperature is null ? null : new TemperatureSpec(
                temperature.RequiredNumber("strength"), temperature.RequiredNumber("period"), temperature.Number("offset") ?? 0),
            TiledKv = node.Flag("tiled_kv", false),
        };
    }

    private static HeadNormSpec? HeadNorm(DescriptionNode node, string key, BlockContext context, int heads, int headDim)
    {
        if (node.Child(key) is not { } own)
            return null;
        var span = own.Keyword("span", "head", "each_head", "all") switch
        {
            "all" => HeadNormSpan.All,
            "each_head" => HeadNormSpan.EachHead,
            _ => HeadNormSpan.Head,
        };
        var norm = node.Norm(key, context.Norms, span == HeadNormSpan.All ? heads * headDim : headDim)!;
        return new HeadNormSpec(norm, span, own.Flag("after_rotary", false));
    }

    internal override void Describe(LayerPlan plan)
    {
        void Input(string module, int rows, bool bias, string? fusedWith) =>
            plan.Linear(new LinearSpec(module, Hidden, rows, bias, InputSite, FusedWith: fusedWith));
        if (Fused is not null)
            Input(Fused, (Heads + 2 * KvHeads) * HeadDim, Bias, null);
        else if (KeyValue is not null)
        {
            Input(Query, Heads * HeadDim, Bias, null);
            Input(KeyValue, 2 * KvHeads * HeadDim, Bias, null);
        }
        else
        {
            var together = LayerPlan.Sibling(Query, "qkv_proj");
            Input(Query, Heads * HeadDim * (GatedQuery ? 2 : 1), Bias, together);
            Input(Key, KvHeads * HeadDim, Bias, together);
            Input(Value, KvHeads * HeadDim, Bias, together);
        }
        if (Gate is not null)
            Input(Gate, Heads * HeadDim, false, null);
        plan.Linear(new LinearSpec(Output, Heads * HeadDim, Hidden, OutputBias, HiddenSite));
        foreach (var (norm, heads) in ((HeadNormSpec?, int)[])[(QueryNorm, Heads), (KeyNorm, KvHeads)])
            HeadNormParameters(plan, norm, heads);
        if (Sinks is not null)
            plan.Parameter(Sinks, Heads);

        // Values pass through the attention weights channel by channel, so their rows can take o's column scales; heads that share
        // a kv head share its scales.
        var channels = KvHeads * HeadDim;
        var columns = Enumerable.Range(0, Heads * HeadDim).Select(c => KvHead(c / HeadDim) * HeadDim + c % HeadDim).ToArray();
        // A clamp on the values does not commute with a scale.
        if (Clip == 0)
        {
            plan.Group(HiddenSite, channels, new ScaleProducer(Fused ?? KeyValue ?? Value, ScaleProducerKind.Linear, ValueRows()),
                [new ScaleConsumer(Output, Heads == KvHeads ? null : columns)], feedsNonlinear: false);
        }
    }

    private static void HeadNormParameters(LayerPlan plan, HeadNormSpec? spec, int heads)
    {
        if (spec is null)
            return;
        if (spec.Span != HeadNormSpan.EachHead)
            plan.Norm(spec.Norm);
        else if (spec.Norm.Module.Contains("{h}"))
        {
            for (var h = 0; h < heads; h++)
                plan.Norm(spec.Norm with { Module = spec.Norm.Module.Replace("{h}", $"{h}") });
        }
        else if (spec.Norm.HasWeight)
        {
            plan.Parameter($"{spec.Norm.Module}.weight", heads, spec.Norm.Size);
            if (spec.Norm.HasBias)
                plan.Parameter($"{spec.Norm.Module}.bias", heads, spec.Norm.Size);
        }
    }
}
