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

    /// <summary>Parameter [hidden] that is added to the output, or null.</summary>
    public string? OutputBias { get; init; }

    /// <summary>Site of an expert's own input.</summary>
    public string ExpertInputSite(int expert) => $"{Name}.experts.{expert}.input";

    public string ExpertHiddenSite(int expert) => $"{Name}.experts.{expert}.hidden";

    internal static MixtureSpec Read(DescriptionNode node, BlockContext context)
    {
        var shared = node.Child("shared");
        return new MixtureSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            Router = RouterSpec.Read(node.Required("router")),
            Experts = ExpertsSpec.Read(node.Required("experts")),
            Shared = shared is null ? null : MlpSpec.Read(shared, context with { Name = $"{context.Name}.shared" }),
            SharedGate = shared?.Text("output_gate"),
            OutputBias = node.Text("output_bias_parameter"),
        };
    }

    internal override void Describe(LayerPlan plan)
    {
        Router.Describe(plan, Hidden, Experts.Count, InputSite);
        if (SharedGate is not null)
            plan.Linear(new LinearSpec(SharedGate, Hidden, 1, false, InputSite, KeepFloatReason: "gate of the shared expert"));
        Shared?.Describe(plan);
        Experts.Describe(plan, Name, Hidden);
        if (OutputBias is not null)
            plan.Parameter(OutputBias, Hidden);
    }

    internal override IEnumerable<string> InputConsumers(IEnumerable<LinearSpec> linears)
    {
        var sites = Enumerable.Range(0, Experts.Count).Select(ExpertInputSite).Append(InputSite).ToHashSet();
        return linears.Where(l => sites.Contains(l.Site)).Select(l => l.Module);
    }
}
