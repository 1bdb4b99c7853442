using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Tuning;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Tuning;

public sealed class LatentCodesTests
{
    /// <summary>Zero points 3 and 12, codes at both ends: nothing changes at the start, nothing leaves the range, and the sign alone counts.</summary>
    [Fact]
    public void CodesFollowTheSignAndStayInTheirRange()
    {
        using var scope = NewDisposeScope();
        var zeros = tensor(new sbyte[] { 3, 12 }, [2, 1, 1]);
        var codes = tensor(new sbyte[] { -3, 0, 5, 12, -12, -1, 2, 3 }, [2, 1, 4]);
        var residuals = tensor(new float[] { -0.4f, 0.49f, -0.49f, 0.3f, 0, 0.45f, 0.1f, 0.2f }, [2, 4]);
        using var latent = new LatentCodes(codes, residuals, zeros, 0.25);
        Assert.Equal([-3, 0, 5, 12, -12, -1, 2, 3], Nearest());
        // Up by a quarter where the gradient is negative, however small it is; down where it is positive.
        latent.Offer(tensor(new float[] { -1e-9f, -5, 1e-3f, -7, 1, 0, -1, -1 }, [2, 1, 4]));
        latent.Step(1);
        Assert.Equal([-3, 1, 4, 12, -12, -1, 2, 3], Nearest());
        // A second step without a new gradient does nothing.
        latent.Step(1);
        Assert.Equal([-3, 1, 4, 12, -12, -1, 2, 3], Nearest());
        latent.Offer(tensor(new float[] { -1, 0, 0, 0, 0, -1, -1, -1 }, [2, 1, 4]));
        latent.Step(1);
        Assert.Equal([-3, 1, 4, 12, -12, 0, 3, 3], Nearest());

        float[] Nearest() => [.. latent.Nearest().data<float>()];
    }

    /// <summary>Codes that compensation moved away from their weight's nearest lie at their edge: chance of a few steps does not move them back, and a direction that stays does.</summary>
    [Fact]
    public void ACodeAtItsEdgeBeginsWithin()
    {
        using var scope = NewDisposeScope();
        var zeros = tensor(new sbyte[] { 8 }, [1, 1, 1]);
        using var latent = new LatentCodes(tensor(new sbyte[] { 2, 2 }, [1, 1, 2]), tensor(new float[] { 0.492f, -0.492f }, [1, 2]), zeros, 0.005);
        for (var step = 1; step < 20; step++)
            Move();
        Assert.Equal([2, 2], Nearest());
        Move();
        Move();
        Assert.Equal([3, 1], Nearest());

        void Move()
        {
            latent.Offer(tensor(new float[] { -1, 1 }, [1, 1, 2]));
            latent.Step(1);
        }

        float[] Nearest() => [.. latent.Nearest().data<float>()];
    }

    /// <summary>A residual is the distance of the float weight from its code, in codes, held within half a code.</summary>
    [Fact]
    public unsafe void ResidualsSayWhereTheFloatWeightLies()
    {
        var random = new Random(3);
        var weights = Enumerable.Range(0, 4 * 32).Select(_ => (float)(random.NextDouble() - 0.5)).ToArray();
        using var tensorOfWeights = tensor(weights, [4, 32]);
        var linear = new QuantizedLinear(4, 32, 32);
        RangeFit.Fit(TensorMemory.Floats(tensorOfWeights), null, linear);
        NearestRounding.Round(TensorMemory.Floats(tensorOfWeights), linear);
        linear.Codes[5] = (byte)(linear.Codes[5] == 0 ? 2 : linear.Codes[5] - 1); // as compensation does
        linear.KeepResiduals(TensorMemory.Floats(tensorOfWeights));
        for (var i = 0; i < weights.Length; i++)
        {
            var exact = weights[i] / linear.Scales[i / 32] + linear.Zeros[i / 32] - linear.Codes[i];
            Assert.Equal(Math.Clamp(exact, -126 / 256f, 126 / 256f), linear.Residuals![i] / 256f, 0.5f / 256 + 1e-4f);
        }
    }
}
