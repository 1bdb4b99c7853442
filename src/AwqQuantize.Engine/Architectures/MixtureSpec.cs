namespace AwqQuantize.Engine.Architectures;

/// <summary>A sparse mixture of experts, with an expert that all tokens share where there is one.</summary>
public sealed record MixtureSpec : BlockSpec
{
    public required int Hidden { get; init; }

    public required RouterSpec Router { get; init; }

    public required ExpertsSpec Experts { get; init; }

    public MlpSpec? Shared { get; init; }

    /// <summary>A linear [1, hidden] whose sigmoid multiplies the shared expert's output, or null.</summary>
    public string? SharedGate { get; init; }

    /// <summary>Linear from the input to what the experts read, or null: they read the input itself.</summary>
    public string? ToLatent { get; init; }

    /// <summary>Linear from the experts' weighted sum to the output, where there is a <see cref="ToLatent"/>.</summary>
    public string FromLatent { get; init; } = "";

    /// <summary>Width of what the experts read and give.</summary>
    public required int Latent { get; init; }

    public bool LatentBias { get; init; }

    /// <summary>Parameter [hidden] that is added to the output, or null.</summary>
    public string? OutputBias { get; init; }

    public override string ExpertSite => ToLatent is null ? InputSite : $"{Name}.latent";

    /// <summary>Site of the experts' weighted sum, where there is a latent.</summary>
    public string LatentOutputSite => $"{Name}.latent_output";

    /// <summary>Site of an expert's own input.</summary>
    public string ExpertInputSite(int expert) => $"{Name}.experts.{expert}.input";

    public string ExpertHiddenSite(int expert) => $"{Name}.experts.{expert}.hidden";

    internal static MixtureSpec Read(DescriptionNode node, BlockContext context)
    {
        var shared = node.Child("shared");
        var latent = node.Integer("latent");
        return new MixtureSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            Router = RouterSpec.Read(node.Required("router")),
            Experts = ExpertsSpec.Read(node.Required("experts")),
            Shared = shared is null ? null : MlpSpec.Read(shared, context with { Name = $"{context.Name}.shared" }),
            SharedGate = shared?.Text("output_gate"),
            ToLatent = latent is null ? null : node.RequiredText("to_latent"),
            FromLatent = latent is null ? "" : node.RequiredText("from_latent"),
            Latent = latent ?? context.Hidden,
            LatentBias = node.Flag("latent_bias", false),
            OutputBias = node.Text("output_bias_parameter"),
        };
    }

    internal override void Describe(LayerPlan plan)
    {
        Router.Describe(plan, Hidden, Experts.Count, InputSite);
        if (SharedGate is not null)
            plan.Linear(new LinearSpec(SharedGate, Hidden, 1, false, InputSite, KeepFloatReason: "gate of the shared expert"));
        Shared?.Describe(plan);
        if (ToLatent is not null)
            plan.Linear(new LinearSpec(ToLatent, Hidden, Latent, LatentBias, InputSite));
        Experts.Describe(plan, Name, Latent);
        if (ToLatent is not null)
        {
            plan.Linear(new LinearSpec(FromLatent, Latent, Hidden, LatentBias, LatentOutputSite));
            // Experts are linear at both ends, and their outputs are summed with a weight per token.
            plan.Group(ExpertSite, Latent, [new ScaleProducer(ToLatent, ScaleProducerKind.Linear)],
                plan.Linears.Where(ReadsLatent).Select(l => new ScaleConsumer(l.Module)), feedsNonlinear: true);
            plan.Group(LatentOutputSite, Latent, [.. Enumerable.Range(0, Experts.Count).Select(e => new ScaleProducer(Experts.Module(e, Experts.DownName), ScaleProducerKind.Linear))],
                [new ScaleConsumer(FromLatent)], feedsNonlinear: false);
        }
        if (OutputBias is not null)
            plan.Parameter(OutputBias, Hidden);
    }

    internal override IEnumerable<string> InputConsumers(IEnumerable<LinearSpec> linears) =>
        linears.Where(l => l.Site == InputSite || ToLatent is null && ReadsLatent(l)).Select(l => l.Module);

    /// <summary>One of the experts' linears that read what is handed out to them.</summary>
    private bool ReadsLatent(LinearSpec linear) => linear.Expert >= 0 && linear.Site == ExpertInputSite(linear.Expert);
}
