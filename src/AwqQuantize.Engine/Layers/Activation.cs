using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>
/// Non-linearities of feed-forward blocks. All overwrite their input where they can; what a gradient is computed from (the result of
/// relu, tanh, sigmoid) is never overwritten.
/// </summary>
internal static class Activation
{
    private const double GeluTanh = 0.7978845608028654; // sqrt(2/pi)

    /// <summary>act(x); x may be overwritten.</summary>
    public static Tensor Apply(ActivationSpec activation, LayerWeights weights, Tensor x)
    {
        switch (activation.Name)
        {
            case "silu" or "swish":
                return nn.functional.silu(x, inplace: true);
            case "relu":
                return x.relu_();
            case "relu2":
                using (var rectified = x.relu_())
                    return rectified.square();
            case "gelu":
                return nn.functional.gelu(x);
            case "gelu_new" or "gelu_fast" or "gelu_pytorch_tanh" or "gelu_tanh":
                using (var scope = NewDisposeScope())
                {
                    var inner = x.square().mul_(0.044715).add_(1).mul_(x).mul_(GeluTanh).tanh_().add(1).mul_(0.5);
                    return inner.mul_(x).MoveToOuterDisposeScope();
                }
            case "quick_gelu":
                using (var scope = NewDisposeScope())
                    return x.mul(1.702).sigmoid_().mul(x).MoveToOuterDisposeScope();
            case "xielu":
                return Xielu(x, weights, activation.Module!);
            default:
                throw new InvalidOperationException($"activation {activation.Name} stands alone in no block");
        }
    }

    /// <summary>act(gate) · up; both may be overwritten.</summary>
    public static Tensor Gated(ActivationSpec activation, LayerWeights weights, Tensor gate, Tensor up)
    {
        if (activation.Name != "clamped_swiglu")
            return Apply(activation, weights, gate).mul_(up);
        // gpt_oss: the gate is clamped above only, up on both sides.
        using var scope = NewDisposeScope();
        gate = gate.clamp_max(activation.Limit);
        up = up.clamp(-activation.Limit, activation.Limit).add_(1);
        return gate.mul(1.702).sigmoid_().mul(gate).mul_(up).MoveToOuterDisposeScope();
    }

    /// <summary>arXiv 2411.13010, with the parameters as apertus stores them.</summary>
    private static Tensor Xielu(Tensor x, LayerWeights weights, string module)
    {
        using var scope = NewDisposeScope();
        var (beta, epsilon) = (weights[$"{module}.beta"], weights[$"{module}.eps"]);
        var positive = nn.functional.softplus(weights[$"{module}.alpha_p"]);
        var negative = nn.functional.softplus(weights[$"{module}.alpha_n"]).add(beta);
        var linear = x.mul(beta);
        var above = x.square().mul_(positive).add_(linear);
        var below = x.minimum(epsilon).expm1().sub_(x).mul_(negative).add_(linear);
        return where(x.gt(0), above, below).MoveToOuterDisposeScope();
    }
}
