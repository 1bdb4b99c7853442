namespace AwqQuantize.Engine.Architectures;

/// <summary>A feed-forward network: down(act(gate_multiplier · gate(x)) · up(x)), or down(act(up(x))) where there is no gate.</summary>
public sealed record MlpSpec : BlockSpec
{
    public required int Hidden { get; init; }

    public required int Width { get; init; }

    /// <summary>Module of the gate, or null.</summary>
    public string? Gate { get; init; }

    public string Up { get; init; } = "";

    public required string Down { get; init; }

    /// <summary>One module for gate and up, or null.</summary>
    public string? Fused { get; init; }

    /// <summary>The rows of <see cref="Fused"/> begin with up.</summary>
    public bool UpFirst { get; init; }

    /// <summary>Factor of the gate before the activation.</summary>
    public double GateMultiplier { get; init; } = 1;

    public required ActivationSpec Activation { get; init; }

    public bool Bias { get; init; }

    public bool DownBias { get; init; }

    public bool IsGated => Gate is not null || Fused is not null;

    public string HiddenSite => $"{Name}.hidden";

    internal static MlpSpec Read(DescriptionNode node, BlockContext context)
    {
        var fused = node.Text("gate_up");
        var bias = node.Flag("bias", false);
        return new MlpSpec
        {
            Name = context.Name,
            InputSite = context.InputSite,
            Hidden = context.Hidden,
            Width = node.RequiredInteger("width"),
            Gate = fused is null ? node.Text("gate") : null,
            Up = fused is null ? node.RequiredText("up") : "",
            Down = node.RequiredText("down"),
            Fused = fused,
            UpFirst = node.Flag("up_first", false),
            GateMultiplier = node.Number("gate_multiplier") ?? 1,
            Activation = ActivationSpec.Read(node),
            Bias = bias,
            DownBias = node.Flag("down_bias", bias),
        };
    }

    internal override void Describe(LayerPlan plan)
    {
        var together = LayerPlan.Sibling(Up, "gate_up_proj");
        if (Fused is not null)
            plan.Linear(new LinearSpec(Fused, Hidden, 2 * Width, Bias, InputSite));
        else if (Gate is not null)
            plan.Linear(new LinearSpec(Gate, Hidden, Width, Bias, InputSite, FusedWith: together));
        if (Fused is null)
            plan.Linear(new LinearSpec(Up, Hidden, Width, Bias, InputSite, FusedWith: Gate is null ? null : together));
        plan.Linear(new LinearSpec(Down, Width, Hidden, DownBias, HiddenSite));
        if (Activation.Name == "xielu")
        {
            foreach (var parameter in (string[])["alpha_p", "alpha_n"])
                plan.Parameter($"{Activation.Module}.{parameter}", 1);
            foreach (var constant in (string[])["beta", "eps"])
                plan.Parameter($"{Activation.Module}.{constant}");
        }

        if (IsGated && Activation.Name != "clamped_swiglu")
        {
            var rows = Fused is null ? null : Enumerable.Range(UpFirst ? 0 : Width, Width).ToArray();
            Group(new ScaleProducer(Fused ?? Up, ScaleProducerKind.Linear, rows));
        }
        else if (!IsGated && Activation.Homogeneity is { } power)
            Group(new ScaleProducer(Up, ScaleProducerKind.Linear, Power: 1.0 / power));

        void Group(ScaleProducer producer) =>
            plan.Group(HiddenSite, Width, producer, [new ScaleConsumer(Down)], feedsNonlinear: false);
    }
}
