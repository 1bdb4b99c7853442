using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Norms over the last dimension.</summary>
internal static class Normalization
{
    /// <summary>A new tensor of x's shape.</summary>
    public static Tensor Apply(NormSpec norm, Func<string, Tensor> parameter, Tensor x)
    {
        using var scope = NewDisposeScope();
        var weight = norm.HasWeight ? parameter($"{norm.Module}.weight") : null;
        var bias = norm.HasBias ? parameter($"{norm.Module}.bias") : null;
        return Apply(norm, weight, bias, x).MoveToOuterDisposeScope();
    }

    public static Tensor Apply(NormSpec norm, Tensor? weight, Tensor? bias, Tensor x)
    {
        using var scope = NewDisposeScope();
        if (norm.OnePlus)
            weight = weight?.add(1);
        // Weights [heads, head_dim] reach over two dimensions, which layer_norm would average over.
        var perHead = weight is { } w && w.dim() > 1;
        Tensor y;
        if (norm.Kind == NormKind.Layer)
        {
            y = nn.functional.layer_norm(x, [x.shape[^1]], perHead ? null : weight, perHead ? null : bias, norm.Epsilon);
            if (!perHead)
                return y.MoveToOuterDisposeScope();
        }
        else
            y = x.mul(x.square().mean([-1], keepdim: true).add_(norm.Epsilon).rsqrt_());
        if (weight is not null)
            y.mul_(weight);
        if (bias is not null)
            y.add_(bias);
        return y.MoveToOuterDisposeScope();
    }
}
