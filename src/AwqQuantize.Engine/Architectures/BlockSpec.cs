namespace AwqQuantize.Engine.Architectures;

/// <summary>One residual branch of a decoder layer: h ← h + multiplier · output_norm(f(input_multiplier · norm(h))).</summary>
public abstract record BlockSpec
{
    /// <summary>Key of the block in the description; sites are named after it.</summary>
    public required string Name { get; init; }

    /// <summary>Norm of the input, or null: the branch reads the residual stream itself.</summary>
    public NormSpec? Norm { get; init; }

    /// <summary>Norm of the branch's output, before it is added.</summary>
    public NormSpec? OutputNorm { get; init; }

    /// <summary>Norm of the residual stream after the addition (post-norm models).</summary>
    public NormSpec? StreamNorm { get; init; }

    /// <summary>Factor of the branch's input, behind its norm.</summary>
    public double InputMultiplier { get; init; } = 1;

    /// <summary>Factor of the branch's output.</summary>
    public double Multiplier { get; init; } = 1;

    /// <summary>The residual stream is replaced by what this branch reads, before the output is added (its norm's output: bloom's option).</summary>
    public bool ResidualFromNorm { get; init; }

    /// <summary>Site of the branch's input. Parallel blocks that read one norm share it.</summary>
    public required string InputSite { get; init; }

    /// <summary>Site whose input is handed out to the routed experts, where there are some.</summary>
    public virtual string ExpertSite => InputSite;

    /// <summary>Declares linears, other parameters, and the scale groups inside the block.</summary>
    internal abstract void Describe(LayerPlan plan);

    /// <summary>The linears that read the block's input, quantised or not.</summary>
    internal virtual IEnumerable<string> InputConsumers(IEnumerable<LinearSpec> linears) =>
        linears.Where(l => l.Site == InputSite).Select(l => l.Module);

    internal static BlockSpec ReadBlock(DescriptionNode node, BlockContext context) => node.Keyword("kind", DescriptionGrammar.BlockKinds) switch
    {
        "attention" => AttentionSpec.Read(node, context),
        "latent_attention" => LatentAttentionSpec.Read(node, context),
        "delta_net" => DeltaNetSpec.Read(node, context),
        "short_convolution" => ShortConvolutionSpec.Read(node, context),
        "mamba" => MambaSpec.Read(node, context),
        "mlp" => MlpSpec.Read(node, context),
        "attention_mixture" => AttentionMixtureSpec.Read(node, context),
        "mixture" => MixtureSpec.Read(node, context),
        _ => throw node.Scope.Invalid($"{node.Path}.kind", $"is missing; expected one of {string.Join(", ", DescriptionGrammar.BlockKinds)}"),
    };
}

/// <summary>What the reader of a block needs besides its description.</summary>
/// <param name="Name">Key of the block.</param>
/// <param name="Hidden">Width of the residual stream.</param>
/// <param name="MaxPositions">The config's longest length.</param>
/// <param name="Norms">The description's default norm.</param>
/// <param name="InputSite">Site of the block's input.</param>
internal sealed record BlockContext(string Name, int Hidden, int MaxPositions, DescriptionNode Norms, string InputSite);
