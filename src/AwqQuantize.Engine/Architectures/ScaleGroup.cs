namespace AwqQuantize.Engine.Architectures;

/// <summary>
/// Channels that can be rescaled without changing the function of the layer: every producer is divided by s, every consumer
/// multiplied by s. Derived from the graph, never written by hand.
/// </summary>
/// <param name="Name">E.g. <c>input_layernorm -> q_proj, k_proj, v_proj</c>.</param>
/// <param name="Site">The activation whose channels are scaled (see <see cref="LinearSpec.Site"/>).</param>
/// <param name="Channels">How many independent scales there are.</param>
/// <param name="Producers">What makes the activation.</param>
/// <param name="Consumers">Every linear that reads it, quantised or not.</param>
/// <param name="Block">Index of the block (residual branch) whose output judges candidates, or -1 for the whole layer.</param>
/// <param name="FeedsNonlinear">Whether a non-linear operation follows the consumers, so that the block's output should judge.</param>
public sealed record ScaleGroup(
    string Name, string Site, int Channels, IReadOnlyList<ScaleProducer> Producers, IReadOnlyList<ScaleConsumer> Consumers,
    int Block, bool FeedsNonlinear);
