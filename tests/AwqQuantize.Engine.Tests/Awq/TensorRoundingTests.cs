using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Tests.Compute;
using static AwqQuantize.Engine.Tests.RandomTensors;
using static TorchSharp.torch;
using RoundingMode = AwqQuantize.Engine.Awq.RoundingMode;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>
/// What devices compute with whole tensors against what the host's loops compute, which <see cref="RoundingTests"/> holds to the
/// definitions. Sums are made in another order, so a choice between two that are equal to the last bits may differ.
/// </summary>
public sealed unsafe class TensorRoundingTests
{
    private static readonly SimulatedDevice Device = new(long.MaxValue);

    [Theory]
    [InlineData(128)]
    [InlineData(192)]
    [InlineData(384)]
    public void FactorsAlike(int n)
    {
        using var host = Curvature.From(ToTensor(Gram(Activations(2 * n, n, n))));
        using var device = Curvature.From(ToTensor(Gram(Activations(2 * n, n, n))), Device);
        Same(host, device);
        var s = Enumerable.Range(0, n).Select(i => 0.5f + i % 7 * 0.25f).ToArray();
        host.Rescale(s);
        device.Rescale(s);
        Same(host, device);
        device.MoveToHost();
        Assert.True(device.Device.IsHost);
        Same(host, device);

        static void Same(Curvature a, Curvature b)
        {
            Assert.Equal(a.Order, b.Order);
            Close(a.H, b.H);
            Close(a.Factor.tril(), b.Factor.tril());
            // What is left of a channel once others explain it: a small difference, to which two orders of summing in float32 give this much.
            for (var i = 0; i < a.Columns; i++)
                Assert.Equal(1, b.Pivots[i] / a.Pivots[i], 1e-2);
        }

        static void Close(Tensor a, Tensor b) => Assert.True((a - b).abs().max().item<float>() <= 1e-4 * a.abs().max().item<float>());
    }

    [Fact]
    public void AnInputThatIsNeverActiveIsFactoredAlike()
    {
        var gram = Gram(Activations(100, 64, 5));
        for (var i = 0; i < 64; i++)
            gram[3, i] = gram[i, 3] = 0;
        using var host = Curvature.From(ToTensor(gram));
        using var device = Curvature.From(ToTensor(gram), Device);
        Assert.Equal(host.Order, device.Order);
        Assert.All(device.Pivots, p => Assert.True(p > 0 && float.IsFinite(p)));
        Assert.Equal(host.Pivots[3], device.Pivots[3], host.Pivots[3] * 1e-4);
    }

    [Theory]
    [InlineData(RoundingMode.Nearest, false, 0)]
    [InlineData(RoundingMode.Nearest, true, 0)]
    [InlineData(RoundingMode.Compensated, true, 0)]
    [InlineData(RoundingMode.Compensated, true, 1)]
    [InlineData(RoundingMode.Compensated, false, 4)]
    public void MakesTheSameChoicesAsTheLoops(RoundingMode mode, bool fit, int sweeps)
    {
        const int Rows = 40, N = 320, Size = 64;
        var settings = new AwqSettings { GroupSize = Size, Rounding = mode, FitRanges = fit, Sweeps = sweeps };
        var (a, b) = (ToTensor(Normal(Rows, N, 21)), ToTensor(Normal(Rows, N, 21)));
        using var host = Curvature.From(ToTensor(Gram(Activations(700, N, 22))));
        using var device = Curvature.From(ToTensor(Gram(Activations(700, N, 22))), Device);
        var loops = LinearRounding.Round(a, host, 700, settings, out var expected);
        var tensors = LinearRounding.Round(b, device, 700, settings, out var loss);

        Assert.Equal(1, loss / expected, 2e-3);
        Assert.True(Equal(loops.Scales, tensors.Scales) > 0.99, $"{Equal(loops.Scales, tensors.Scales):P2} of the scales are the same");
        Assert.True(Equal(loops.Zeros, tensors.Zeros) > 0.99, $"{Equal(loops.Zeros, tensors.Zeros):P2} of the zero points are the same");
        Assert.True(Equal(loops.Codes, tensors.Codes) > 0.98, $"{Equal(loops.Codes, tensors.Codes):P2} of the codes are the same");
        Assert.All(tensors.Scales, s => Assert.True(s > 0 && (float)(Half)s == s));
        Assert.All(tensors.Codes.Concat(tensors.Zeros), c => Assert.InRange(c, (byte)0, (byte)15));

        // The weights are what the codes mean, bit by bit.
        using var dequantized = empty(Rows, N);
        tensors.Dequantize(TensorMemory.Floats(dequantized));
        Assert.True(b.eq(dequantized).all().item<bool>());
    }

    /// <summary>The loss that comes with the rounding is that of the definition.</summary>
    [Fact]
    public void TheLossIsThatOfTheQuadraticForm()
    {
        const int Rows = 12, N = 256;
        var weights = ToTensor(Normal(Rows, N, 31));
        using var original = weights.clone();
        using var device = Curvature.From(ToTensor(Gram(Activations(500, N, 32))), Device);
        LinearRounding.Round(weights, device, 500, new AwqSettings { GroupSize = 32 }, out var loss);
        using var error = (original - weights).to(ScalarType.Float64);
        var measured = error.mm(device.H.to(ScalarType.Float64)).mul(error).sum().item<double>();
        Assert.Equal(1, loss / measured, 1e-3);
    }

    [Theory]
    [InlineData(RoundingMode.Nearest)]
    [InlineData(RoundingMode.Compensated)]
    public void JudgesScalesAlike(RoundingMode mode)
    {
        const int N = 256;
        var settings = new AwqSettings { GroupSize = 64, Rounding = mode };
        var weights = ToTensor(Normal(64, N, 41));
        var magnitude = Enumerable.Range(0, N).Select(i => 0.2f + i % 13).ToArray();
        var group = new ScaleGroup("test", "x", N, [], [new ScaleConsumer("a")], 0, false);
        using var host = Curvature.From(ToTensor(Gram(Activations(600, N, 42))));
        using var device = Curvature.From(ToTensor(Gram(Activations(600, N, 42))), Device);
        var expected = new ScaleSearch([weights], host, magnitude, group, settings).Run(default);
        var found = new ScaleSearch([weights], device, magnitude, group, settings).Run(default);

        Assert.Equal((expected[0].Kind, expected[0].Ratio), (found[0].Kind, found[0].Ratio));
        foreach (var candidate in expected)
            if (found.FirstOrDefault(f => f.Kind == candidate.Kind && f.Ratio == candidate.Ratio) is { } other)
                Assert.Equal(1, other.Loss / candidate.Loss, 1e-3);
    }

    [Fact]
    public void ConstantAndEmptyGroupsAreRoundedAlike()
    {
        var values = new double[4, 32];
        for (var i = 0; i < 32; i++)
            (values[1, i], values[2, i], values[3, i]) = (0.25, -3, i % 2 == 0 ? 1e-9 : 0);
        var (a, b) = (ToTensor(values), ToTensor(values));
        var loops = LinearRounding.Plain(a, 32, ComputeDevice.Host);
        var tensors = LinearRounding.Plain(b, 32, Device);
        Assert.Equal(loops.Scales, tensors.Scales);
        Assert.Equal(loops.Zeros, tensors.Zeros);
        Assert.Equal(loops.Codes, tensors.Codes);
    }

    private static double Equal<T>(T[] a, T[] b) where T : IEquatable<T> => a.Zip(b, (x, y) => x.Equals(y) ? 1.0 : 0).Average();
}
