using AwqQuantize.Engine.Awq;
using TorchSharp;
using static AwqQuantize.Engine.Tests.RandomTensors;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Awq;

public sealed class BlockedCholeskyTests
{
    [Theory]
    [InlineData(3)]
    [InlineData(256)]
    [InlineData(257)]
    [InlineData(1500)]
    public void LowerTriangleTimesItsTransposeIsTheMatrix(int n)
    {
        using var scope = NewDisposeScope();
        manual_seed(n);
        var x = randn(2 * n, n);
        var h = x.t().mm(x).div_(2 * n);
        var a = h.clone();
        Assert.True(BlockedCholesky.TryFactor(a));
        var lower = a.tril();
        Assert.True(lower.diagonal().gt(0).all().item<bool>());
        Assert.InRange(lower.mm(lower.t()).sub_(h).abs().max().item<float>(), 0, 2e-5f);
    }

    [Theory]
    [InlineData(40, 7)]
    [InlineData(700, 650)]
    public void RefusesWhatIsNotPositiveDefinite(int n, int bad)
    {
        using var scope = NewDisposeScope();
        var a = eye(n);
        a[bad, bad] = tensor(-1f);
        Assert.False(BlockedCholesky.TryFactor(a));
    }
}
