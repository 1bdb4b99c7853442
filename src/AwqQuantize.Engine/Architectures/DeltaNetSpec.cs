namespace AwqQuantize.Engine.Architectures;

/// <summary>Linear attention by the gated delta rule (arXiv 2412.06464), as qwen3_next and qwen3_5 have it.</summary>
public sealed record DeltaNetSpec : BlockSpec
{
    public required int Hidden { get; init; }

    public required int KeyHeads { get; init; }

    public required int ValueHeads { get; init; }

    public required int KeyDim { get; init; }

    public required int ValueDim { get; init; }

    public required int Kernel { get; init; }

    /// <summary>One linear, per key head [query, key, values, output gates]; null where the four below are used.</summary>
    public string? FusedQkvz { get; init; }

    /// <summary>One linear, per key head [write strengths, decays].</summary>
    public string? FusedBa { get; init; }

    /// <summary>Linear to [queries | keys | values].</summary>
    public string Qkv { get; init; } = "";

    public string OutputGate { get; init; } = "";

    public string WriteStrength { get; init; } = "";

    public string Decay { get; init; } = "";

    /// <summary>Depthwise causal convolution over [queries | keys | values].</summary>
    public required string Convolution { get; init; }

    /// <summary>Parameter [value heads]: logarithm of the decay rate.</summary>
    public required string LogRate { get; init; }

    /// <summary>Parameter [value heads], added to the decay.</summary>
    public required string DecayBias { get; init; }

    /// <summary>Norm of each head's output, [value dim], before the gate.</summary>
    public required NormSpec HeadNorm { get; init; }

    public required string Output { get; init; }

    public int KeyWidth => KeyHeads * KeyDim;

    public int ValueWidth => ValueHeads * ValueDim;

    public string HiddenSite => $"{Name}.hidden";

    internal static DeltaNetSpec Read(DescriptionNode node, BlockContext context)
    {
        var valueDim = node.RequiredInteger("value_dim");
        var fused = node.Text("fused_qkvz");
        var (keyHeads, valueHeads) = (node.RequiredInteger("key_heads"), node.RequiredInteger("value_heads"));
        if (keyHeads <= 0 || valueHeads % keyHeads != 0)
            throw node.NotA($"a divisor of the {valueHeads} value heads", "key_heads", keyHeads);
        return new DeltaNetSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            KeyHeads = keyHeads,
            ValueHeads = valueHeads,
            KeyDim = node.RequiredInteger("key_dim"),
            ValueDim = valueDim,
            Kernel = node.RequiredInteger("kernel"),
            FusedQkvz = fused,
            FusedBa = fused is null ? null : node.RequiredText("fused_ba"),
            Qkv = fused is null ? node.RequiredText("qkv") : "",
            OutputGate = fused is null ? node.RequiredText("output_gate") : "",
            WriteStrength = fused is null ? node.RequiredText("write_strength") : "",
            Decay = fused is null ? node.RequiredText("decay") : "",
            Convolution = node.RequiredText("convolution"),
            LogRate = node.RequiredText("log_rate"),
            DecayBias = node.RequiredText("decay_bias"),
            HeadNorm = node.Norm("head_norm", context.Norms, valueDim) ?? throw node.Scope.Invalid($"{node.Path}.head_norm", "is missing"),
            Output = node.RequiredText("output"),
        };
    }

    internal override void Describe(LayerPlan plan)
    {
        const string sensitive = "decay of a linear attention: few rows, and errors add up over the sequence";
        if (FusedQkvz is not null)
        {
            plan.Linear(new LinearSpec(FusedQkvz, Hidden, 2 * KeyWidth + 2 * ValueWidth, false, InputSite));
            plan.Linear(new LinearSpec(FusedBa!, Hidden, 2 * ValueHeads, false, InputSite, KeepFloatReason: sensitive));
        }
        else
        {
            var together = LayerPlan.Sibling(Qkv, "in_proj_qkvz");
            plan.Linear(new LinearSpec(Qkv, Hidden, 2 * KeyWidth + ValueWidth, false, InputSite, FusedWith: together));
            plan.Linear(new LinearSpec(OutputGate, Hidden, ValueWidth, false, InputSite, FusedWith: together));
            plan.Linear(new LinearSpec(WriteStrength, Hidden, ValueHeads, false, InputSite, KeepFloatReason: sensitive));
            plan.Linear(new LinearSpec(Decay, Hidden, ValueHeads, false, InputSite, KeepFloatReason: sensitive));
        }
        plan.Parameter($"{Convolution}.weight", 2 * KeyWidth + ValueWidth, 1, Kernel);
        plan.Parameter(LogRate, ValueHeads);
        plan.Parameter(DecayBias, ValueHeads);
        plan.Norm(HeadNorm);
        plan.Linear(new LinearSpec(Output, ValueWidth, Hidden, false, HiddenSite));
        // All heads share the norm's weight, and the gate multiplies channel by channel after it.
        plan.Group(HiddenSite, ValueDim, new ScaleProducer(HeadNorm.Module, HeadNorm.OnePlus ? ScaleProducerKind.OnePlusNorm : ScaleProducerKind.Norm),
            [new ScaleConsumer(Output, [.. Enumerable.Range(0, ValueWidth).Select(c => c % ValueDim)])], feedsNonlinear: false);
    }
}
