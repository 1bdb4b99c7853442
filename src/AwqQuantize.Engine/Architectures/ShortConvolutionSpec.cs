namespace AwqQuantize.Engine.Architectures;

/// <summary>A gated short convolution (lfm2): input → [B, C, x], then C · conv(B · x), then output.</summary>
public sealed record ShortConvolutionSpec : BlockSpec
{
    public required int Hidden { get; init; }

    public required int Kernel { get; init; }

    public required string Input { get; init; }

    public required string Convolution { get; init; }

    public required string Output { get; init; }

    public bool Bias { get; init; }

    public string HiddenSite => $"{Name}.hidden";

    internal static ShortConvolutionSpec Read(DescriptionNode node, BlockContext context) => new()
    {
        Name = context.Name,
        InputSite = context.InputSite,
        Hidden = context.Hidden,
        Kernel = node.RequiredInteger("kernel"),
        Input = node.RequiredText("input"),
        Convolution = node.RequiredText("convolution"),
        Output = node.RequiredText("output"),
        Bias = node.Flag("bias", false),
    };

    internal override void Describe(LayerPlan plan)
    {
        plan.Linear(new LinearSpec(Input, Hidden, 3 * Hidden, Bias, InputSite));
        plan.Parameter($"{Convolution}.weight", Hidden, 1, Kernel);
        if (Bias)
            plan.Parameter($"{Convolution}.bias", Hidden);
        plan.Linear(new LinearSpec(Output, Hidden, Hidden, Bias, HiddenSite));
        // C multiplies channel by channel, last.
        plan.Group(HiddenSite, Hidden, new ScaleProducer(Input, ScaleProducerKind.Linear, [.. Enumerable.Range(Hidden, Hidden)]),
            [new ScaleConsumer(Output)], feedsNonlinear: false);
    }
}
