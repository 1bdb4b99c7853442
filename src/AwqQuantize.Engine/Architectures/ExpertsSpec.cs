namespace AwqQuantize.Engine.Architectures;

/// <summary>Tensors that hold all experts of a layer at once.</summary>
/// <param name="GateUp">Tensor with gate and up, or null.</param>
/// <param name="Gate">Tensor with the gates, where <paramref name="GateUp"/> is null.</param>
/// <param name="Up">Tensor with the ups, where <paramref name="GateUp"/> is null.</param>
/// <param name="Down">Tensor with the downs.</param>
/// <param name="InOut">gate and up are [in, out] within an expert's slice.</param>
/// <param name="DownInOut">down is.</param>
/// <param name="Interleaved">gate and up alternate, channel by channel; else all of gate come first.</param>
/// <param name="Flat">The slices follow each other in a matrix; else they are stacked in a third dimension.</param>
public sealed record StackedExperts(
    string? GateUp, string? Gate, string? Up, string Down, bool InOut, bool DownInOut, bool Interleaved, bool Flat);

/// <summary>The routed experts of a mixture, each a small feed-forward network.</summary>
public sealed record ExpertsSpec
{
    public required int Count { get; init; }

    public required int PerToken { get; init; }

    public required int Width { get; init; }

    /// <summary>Module of expert {e}, as readers of a quantised checkpoint name it.</summary>
    public required string Prefix { get; init; }

    public string? GateName { get; init; }

    public required string UpName { get; init; }

    public required string DownName { get; init; }

    public required ActivationSpec Activation { get; init; }

    public bool Bias { get; init; }

    public StackedExperts? Stacked { get; init; }

    public string Module(int expert, string name) => $"{Prefix.Replace("{e}", $"{expert}")}.{name}";

    internal static ExpertsSpec Read(DescriptionNode node)
    {
        var stacked = node.Child("stacked");
        var layout = stacked?.Keyword("layout", "in_out", "out_in") == "in_out";
        return new ExpertsSpec
        {
            Count = node.RequiredInteger("count"),
            PerToken = node.RequiredInteger("per_token"),
            Width = node.RequiredInteger("width"),
            Prefix = node.RequiredText("prefix"),
            GateName = node.Text("gate"),
            UpName = node.RequiredText("up"),
            DownName = node.RequiredText("down"),
            Activation = ActivationSpec.Read(node),
            Bias = node.Flag("bias", false),
            Stacked = stacked is null ? null : new StackedExperts(stacked.Text("gate_up"), stacked.Text("gate"), stacked.Text("up"),
                stacked.RequiredText("down"), layout, stacked.Has("down_layout") ? stacked.Keyword("down_layout", "in_out", "out_in") == "in_out" : layout,
                stacked.Flag("interleaved", false), stacked.Flag("flat", false)),
        };
    }

    internal void Describe(LayerPlan plan, string block, int hidden)
    {
        for (var e = 0; e < Count; e++)
        {
            var (input, inner) = ($"{block}.experts.{e}.input", $"{block}.experts.{e}.hidden");
            var together = Prefix.Contains(".{e}") ? Prefix[..Prefix.IndexOf(".{e}", StringComparison.Ordinal)] : block;
            var (up, down) = (Module(e, UpName), Module(e, DownName));
            if (GateName is not null)
                Linear(plan, new LinearSpec(Module(e, GateName), hidden, Width, Bias, input, e, FusedWith: together), ExpertPart.Gate);
            Linear(plan, new LinearSpec(up, hidden, Width, Bias, input, e, FusedWith: together), ExpertPart.Up);
            Linear(plan, new LinearSpec(down, Width, hidden, Bias, inner, e, FusedWith: together), ExpertPart.Down);
            var power = GateName is not null ? Activation.Name == "clamped_swiglu" ? null : 1 : Activation.Homogeneity;
            if (power is not null)
            {
                plan.Group(inner, Width, new ScaleProducer(up, ScaleProducerKind.Linear, Power: 1.0 / power.Value), [new ScaleConsumer(down)],
                    feedsNonlinear: false);
            }
        }
    }

    private enum ExpertPart
    {
        Gate,
        Up,
        Down,
    }

    private void Linear(LayerPlan plan, LinearSpec linear, ExpertPart part)
    {
        if (Stacked is null)
        {
            plan.Linear(linear);
            return;
        }
        var both = part != ExpertPart.Down && Stacked.GateUp is not null;
        var name = part == ExpertPart.Down ? Stacked.Down : both ? Stacked.GateUp! : part == ExpertPart.Gate ? Stacked.Gate! : Stacked.Up!;
        var transposed = part == ExpertPart.Down ? Stacked.DownInOut : Stacked.InOut;
        var rows = both ? 2 * linear.Out : linear.Out;
        long[] slice = transposed ? [linear.In, rows] : [rows, linear.In];
        var stored = new StoredTensor(plan.Prefix + name, Stacked.Flat ? [Count * slice[0], slice[1]] : [Count, .. slice]);
        var (start, step) = both ? (part == ExpertPart.Gate ? 0 : Stacked.Interleaved ? 1 : linear.Out, Stacked.Interleaved ? 2 : 1) : (0, 1);
        plan.Linear(linear,
            new ParameterSpec($"{linear.Module}.weight", [linear.Out, linear.In], stored, transposed, linear.Expert, Count, start, step),
            linear.HasBias ? new ParameterSpec($"{linear.Module}.bias", [linear.Out],
                new StoredTensor($"{plan.Prefix}{name}_bias", [Count, rows]), false, linear.Expert, Count, start, step) : null);
    }
}
