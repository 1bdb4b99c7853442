namespace AwqQuantize.Engine.Architectures;

/// <summary>A selective state space (Mamba 2, arXiv 2405.21060).</summary>
public sealed record MambaSpec : BlockSpec
{
    public required int Hidden { get; init; }

    public required int Heads { get; init; }

    public required int HeadDim { get; init; }

    /// <summary>Groups of heads that share B and C.</summary>
    public required int Groups { get; init; }

    public required int StateSize { get; init; }

    public required int Kernel { get; init; }

    /// <summary>Linear to [gate | x, B, C | time steps].</summary>
    public required string Input { get; init; }

    public required string Convolution { get; init; }

    public bool ConvolutionBias { get; init; }

    /// <summary>Parameter [heads]: logarithm of the decay rate.</summary>
    public required string LogRate { get; init; }

    /// <summary>Parameter [heads]: how much of x passes by the state.</summary>
    public required string Skip { get; init; }

    /// <summary>Parameter [heads], added to the time steps.</summary>
    public required string StepBias { get; init; }

    public double MinStep { get; init; }

    public double MaxStep { get; init; } = double.PositiveInfinity;

    /// <summary>Factors of the parts of <see cref="Input"/>'s output, in their order; null where all are 1.</summary>
    public MambaMultipliers? Multipliers { get; init; }

    /// <summary>Norm [width] of the gated output, or null.</summary>
    public NormSpec? OutputStateNorm { get; init; }

    /// <summary>That norm comes before the gate.</summary>
    public bool NormBeforeGate { get; init; }

    /// <summary>That norm's mean square is taken over each of this many parts.</summary>
    public int NormGroups { get; init; } = 1;

    public required string Output { get; init; }

    public bool Bias { get; init; }

    public bool OutputBias { get; init; }

    public int Width => Heads * HeadDim;

    public int ConvolutionWidth => Width + 2 * Groups * StateSize;

    public string HiddenSite => $"{Name}.hidden";

    internal static MambaSpec Read(DescriptionNode node, BlockContext context)
    {
        var (heads, headDim, groups) = (node.RequiredInteger("heads"), node.RequiredInteger("head_dim"), node.RequiredInteger("groups"));
        if (groups <= 0 || heads % groups != 0)
            throw node.NotA($"a divisor of the {heads} heads", "groups", groups);
        return new MambaSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            Heads = heads,
            HeadDim = headDim,
            Groups = groups,
            StateSize = node.RequiredInteger("state_size"),
            Kernel = node.RequiredInteger("kernel"),
            Input = node.RequiredText("input"),
            Convolution = node.RequiredText("convolution"),
            ConvolutionBias = node.Flag("convolution_bias", true),
            LogRate = node.RequiredText("log_rate"),
            Skip = node.RequiredText("skip"),
            StepBias = node.RequiredText("step_bias"),
            MinStep = node.Number("min_step") ?? 0,
            MaxStep = node.Number("max_step") ?? double.PositiveInfinity,
            OutputStateNorm = node.Norm("state_norm", context.Norms, heads * headDim),
            NormBeforeGate = node.Flag("norm_before_gate", false),
            NormGroups = node.Integer("norm_groups") ?? 1,
            Output = node.RequiredText("output"),
            Bias = node.Flag("bias", false),
            OutputBias = node.Flag("output_bias", node.Flag("bias", false)),
            Multipliers = MambaMultipliers.Read(node),
        };
    }

    internal override void Describe(LayerPlan plan)
    {
        plan.Linear(new LinearSpec(Input, Hidden, Width + ConvolutionWidth + Heads, Bias, InputSite));
        plan.Parameter($"{Convolution}.weight", ConvolutionWidth, 1, Kernel);
        if (ConvolutionBias)
            plan.Parameter($"{Convolution}.bias", ConvolutionWidth);
        foreach (var parameter in (string[])[LogRate, Skip, StepBias])
            plan.Parameter(parameter, Heads);
        plan.Norm(OutputStateNorm);
        plan.Linear(new LinearSpec(Output, Width, Hidden, OutputBias, HiddenSite));
        // Without the norm the gated output comes from behind a convolution's SiLU: nothing there takes a scale.
        if (OutputStateNorm is { } norm)
            plan.Group(HiddenSite, Width, new ScaleProducer(norm.Module, ScaleProducerKind.Norm), [new ScaleConsumer(Output)], feedsNonlinear: false);
    }
}
