using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>One decoder layer with its weights. Runs again after its weights were changed: nothing is derived from them beforehand.</summary>
public sealed class DecoderLayer : IDisposable
{
    private BlockRunner[][] runners;
    private PositionTables? ownTables;

    internal DecoderLayer(LayerGraph graph, LayerWeights weights, PositionTables tables, ComputeDevice compute)
    {
        (Graph, Weights, Compute) = (graph, weights, compute);
        runners = Runners(tables);
    }

    public LayerGraph Graph { get; }

    public LayerWeights Weights { get; }

    /// <summary>Where the weights are and the layer runs.</summary>
    public ComputeDevice Compute { get; private set; }

    /// <inheritdoc cref="Compute"/>
    public Device Device => Compute.Torch;

    /// <summary>The same layer on another device, with weights of its own.</summary>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: it does not fit.</exception>
    public DecoderLayer CopyTo(ComputeDevice device)
    {
        var tables = new PositionTables(device.Torch);
        return new DecoderLayer(Graph, Weights.CopyTo(device), tables, device) { ownTables = tables };
    }

    /// <summary>Brings the layer to host memory: what is left when a device's does not suffice. It goes on from where it is.</summary>
    public void MoveToHost()
    {
        if (Compute.IsHost)
            return;
        Weights.MoveToHost();
        Compute = ComputeDevice.Host;
        ownTables = new PositionTables(Compute.Torch);
        runners = Runners(ownTables);
    }

    private BlockRunner[][] Runners(PositionTables tables) => [.. Graph.Steps.Select(s => s.Select(b => BlockRunner.Create(b, Weights, tables)).ToArray())];

    /// <summary>The hidden states after the layer. Rows start at position 0, are as long as each other, and attend causally.</summary>
    /// <param name="hidden">[batch, length, hidden], float32; left as it is.</param>
    public Tensor Forward(Tensor hidden, IActivationObserver? observer = null)
    {
        using var guard = no_grad();
        return Stream(hidden, observer);
    }

    /// <summary>The same as <see cref="Forward"/>, recorded so that gradients of the hidden states and of whichever weights ask for them can be taken.</summary>
    /// <param name="hidden">[batch, length, hidden], float32; left as it is.</param>
    public Tensor ForwardForGradient(Tensor hidden)
    {
        using var recording = enable_grad();
        return Stream(hidden, null);
    }

    /// <summary>What a block adds to the residual stream. The parallel branches of a layer are one block.</summary>
    /// <param name="block">Index of the block.</param>
    /// <param name="entrance">The residual stream at its entrance, [batch, length, hidden].</param>
    public Tensor RunBlock(int block, Tensor entrance, IActivationObserver? observer = null)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        return Branches(block, entrance, observer).Output.MoveToOuterDisposeScope();
    }

    /// <summary>The residual stream behind a block, given the one at its entrance; both [batch, length, hidden].</summary>
    public Tensor Advance(int block, Tensor entrance, IActivationObserver? observer = null)
    {
        using var guard = no_grad();
        return Step(block, entrance, observer);
    }

    /// <summary>The site whose readers alone make a block's output, so that <see cref="Finish"/> can take up from its input; null where there is none.</summary>
    public string? LastSite(int block) => runners[block] is [var only] ? only.Last?.Site : null;

    /// <summary>The same as <see cref="Advance"/>, given the input of the block's last site.</summary>
    /// <param name="block">Index of the block.</param>
    /// <param name="entrance">The residual stream at its entrance, [batch, length, hidden].</param>
    /// <param name="input">What reaches <see cref="LastSite"/>, [batch · length, in].</param>
    public Tensor Finish(int block, Tensor entrance, Tensor input)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var spec = Graph.Steps[block][0];
        var output = Deliver(spec, runners[block][0].RunLast(input).view(entrance.shape));
        var residual = spec is { ResidualFromNorm: true, Norm: { } norm } ? Normalization.Apply(norm, Parameter, entrance) : entrance;
        return Join(block, output, residual).MoveToOuterDisposeScope();
    }

    /// <summary>Whether a block's experts can be run one by one (see <see cref="RunExpert"/>).</summary>
    public bool RunsExpertsAlone(int block) => runners[block].OfType<MixtureRunner>().Any();

    /// <summary>The unweighted output of one expert of a mixture.</summary>
    /// <param name="block">Index of the block that holds the mixture.</param>
    /// <param name="expert">Index of the expert.</param>
    /// <param name="x">[n, hidden]: what the expert sees, normalised.</param>
    public Tensor RunExpert(int block, int expert, Tensor x, IActivationObserver? observer = null)
    {
        using var guard = no_grad();
        return runners[block].OfType<MixtureRunner>().Single().RunExpert(expert, x, observer);
    }

    private Tensor Stream(Tensor hidden, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        var stream = hidden.to(Device); // a layer that did not fit the device is on the host
        for (var block = 0; block < Graph.BlockCount; block++)
        {
            using var inner = NewDisposeScope();
            var before = stream;
            stream = Step(block, stream, observer).MoveToOuterDisposeScope();
            if (!ReferenceEquals(before, hidden))
                before.Dispose();
        }
        return stream.MoveToOuterDisposeScope();
    }

    private Tensor Step(int block, Tensor entrance, IActivationObserver? observer)
    {
        using var scope = NewDisposeScope();
        var (output, residual) = Branches(block, entrance, observer);
        observer?.OnBlock(block, entrance, output);
        return Join(block, output, residual).MoveToOuterDisposeScope();
    }

    /// <summary>The sum of a block's branches, and what it is added to.</summary>
    private (Tensor Output, Tensor Residual) Branches(int block, Tensor entrance, IActivationObserver? observer)
    {
        var branches = Graph.Steps[block];
        Tensor? sum = null, normed = null;
        for (var b = 0; b < branches.Count; b++)
        {
            var spec = branches[b];
            if (b == 0 || spec.Norm is null || spec.Norm != branches[b - 1].Norm)
                normed = spec.Norm is null ? entrance : Normalization.Apply(spec.Norm, Parameter, entrance);
            // A site that branches share is shown once; that their factors differ changes its statistics by a constant only.
            var shown = b > 0 && branches[0].InputSite == spec.InputSite && observer is not null ? new SeenSite(observer, spec.InputSite) : observer;
            var output = Deliver(spec, runners[block][b].Run(spec.InputMultiplier == 1 ? normed! : normed!.mul(spec.InputMultiplier), shown));
            sum = sum is null ? output : sum.add_(output);
        }
        return (sum!, branches[0].ResidualFromNorm ? normed! : entrance);
    }

    /// <summary>What becomes of a branch's output before it is added.</summary>
    private Tensor Deliver(BlockSpec spec, Tensor output)
    {
        if (spec.OutputNorm is not null)
            output = Normalization.Apply(spec.OutputNorm, Parameter, output);
        return spec.Multiplier == 1 ? output : output.mul_(spec.Multiplier);
    }

    /// <summary>Adds a block's output to the residual stream; the output is overwritten.</summary>
    private Tensor Join(int block, Tensor output, Tensor residual)
    {
        output.add_(residual);
        return Graph.Steps[block] is [{ StreamNorm: { } norm }] ? Normalization.Apply(norm, Parameter, output) : output;
    }

    private Tensor Parameter(string name) => Weights[name];

    public void Dispose()
    {
        Weights.Dispose();
        ownTables?.Dispose();
    }
}
