using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Sees the activations of a layer while it runs. Tensors are valid during the call only.</summary>
public interface IActivationObserver
{
    /// <summary>Whether <see cref="OnInput"/> is wanted for a site; asked before the work of preparing it is done.</summary>
    bool Wants(string site);

    /// <summary>The input of the linears of one site: [tokens, in], float32, contiguous. An expert's sites see its own tokens only.</summary>
    void OnInput(string site, Tensor x);

    /// <summary>The residual stream at the entrance of a block and the block's contribution to it, both [batch, length, hidden].</summary>
    void OnBlock(int block, Tensor entrance, Tensor output);

    /// <summary>The routing of the tokens of one mixture of experts.</summary>
    /// <param name="site">Site of the experts' common input.</param>
    /// <param name="experts">[tokens, k] int64: the chosen experts.</param>
    /// <param name="weights">[tokens, k] float32: their weights.</param>
    void OnRouting(string site, Tensor experts, Tensor weights);
}
