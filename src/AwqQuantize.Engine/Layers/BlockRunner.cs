using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Computes one kind of block from the weights as they are now; keeps nothing that depends on them.</summary>
internal abstract class BlockRunner(LayerWeights weights, PositionTables tables)
{
    protected LayerWeights Weights { get; } = weights;

    protected PositionTables Tables { get; } = tables;

    /// <summary>The block's output for its (normalised) input, both [batch, length, hidden]; the input is left as it is.</summary>
    public abstract Tensor Run(Tensor x, IActivationObserver? observer);

    /// <summary>The site and the module of the linear that alone makes the block's output from that site's input; null where there is no such.</summary>
    public virtual (string Site, string Module)? Last => null;

    /// <summary>The output, given the input of <see cref="Last"/>.</summary>
    public Tensor RunLast(Tensor x) => Linear(Last!.Value.Module, x);

    public static BlockRunner Create(BlockSpec block, LayerWeights weights, PositionTables tables) => block switch
    {
        AttentionSpec attention => new AttentionRunner(attention, weights, tables),
        LatentAttentionSpec latent => new LatentAttentionRunner(latent, weights, tables),
        DeltaNetSpec delta => new DeltaNetRunner(delta, weights, tables),
        ShortConvolutionSpec convolution => new ShortConvolutionRunner(convolution, weights, tables),
        MambaSpec mamba => new MambaRunner(mamba, weights, tables),
        MlpSpec mlp => new MlpRunner(mlp, weights, tables),
        AttentionMixtureSpec heads => new AttentionMixtureRunner(heads, weights, tables),
        MixtureSpec mixture => new MixtureRunner(mixture, weights, tables),
        _ => throw new InvalidOperationException($"no runner for {block.GetType().Name}"),
    };

    /// <summary>x·Wᵀ + b, in what forwards are made in where the weights are; float32 all the same.</summary>
    protected Tensor Linear(string module, Tensor x) => Weights.OutputProbe is { } probe ? probe(module, Product(module, x)) : Product(module, x);

    private Tensor Product(string module, Tensor x)
    {
        var type = Weights.ForwardType;
        if (type == ScalarType.Float32)
            return ExactLinear(module, x);
        using var scope = NewDisposeScope();
        var product = nn.functional.linear(x.to(type), Weights[$"{module}.weight"].to(type)).to(ScalarType.Float32);
        if (Weights.Contains($"{module}.bias"))
            product.add_(Weights[$"{module}.bias"]);
        return product.MoveToOuterDisposeScope();
    }

    /// <summary>x·Wᵀ + b in float32, for what decides something: a router's choice.</summary>
    protected Tensor ExactLinear(string module, Tensor x) =>
        nn.functional.linear(x, Weights[$"{module}.weight"], Weights.Contains($"{module}.bias") ? Weights[$"{module}.bias"] : null);

    /// <summary>A causal depthwise convolution of [batch, length, channels], as a new tensor.</summary>
    protected Tensor Convolve(string module, Tensor x) =>
        CausalConvolution.Apply(x, Weights[$"{module}.weight"], Weights.Contains($"{module}.bias") ? Weights[$"{module}.bias"] : null);

    /// <summary>Shows the input of a site to the observer, if it wants it.</summary>
    protected static void Observe(IActivationObserver? observer, string site, Tensor x)
    {
        if (observer is null || !observer.Wants(site))
            return;
        using var scope = NewDisposeScope();
        observer.OnInput(site, x.reshape(-1, x.shape[^1]).contiguous());
    }
}
