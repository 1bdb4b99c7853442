namespace AwqQuantize.Engine.Architectures;

/// <summary>The non-linearity of a feed-forward block.</summary>
/// <param name="Name">Hugging Face's name for it (<c>silu</c>, <c>gelu_pytorch_tanh</c>, <c>relu2</c> …), or <c>clamped_swiglu</c>, <c>xielu</c>.</param>
/// <param name="Limit">Clamp of <c>clamped_swiglu</c>.</param>
/// <param name="Module">Module with the parameters of <c>xielu</c>.</param>
public sealed record ActivationSpec(string Name, double Limit = 0, string? Module = null)
{
    internal static readonly string[] Known =
        ["silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_tanh", "quick_gelu", "relu", "relu2", "clamped_swiglu", "xielu"];

    /// <summary>
    /// The exponent with which a scale passes: f(a·x) = a^p·f(x) for every a above 0. Null where there is none.
    /// </summary>
    public int? Homogeneity => Name switch { "relu" => 1, "relu2" => 2, _ => null };

    internal static ActivationSpec Read(DescriptionNode node)
    {
        var name = node.Keyword("activation", Known) ?? throw node.Scope.Invalid($"{node.Path}.activation", "is missing");
        return new ActivationSpec(name, node.Number("limit") ?? 0, node.Text("activation_module"));
    }
}
