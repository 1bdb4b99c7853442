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
    [InlineData(RoundingMode.Nearest, false, 0, false)]
    [InlineData(RoundingMode.Nearest, true, 0, false)]
    [InlineData(RoundingMode.Compensated, true, 0, false)]
    [InlineData(RoundingMode.Compensated, true, 1, false)]
    [InlineData(RoundingMode.Compensated, false, 4, false)]
    [InlineData(RoundingMode.Nearest, false, 0, true)]
    [InlineData(RoundingMode.Nearest, true, 0, true)]
    [InlineData(RoundingMode.Compensated, true, 0, true)]
    [InlineData(RoundingMode.Compensated, true, 1, true)]
    [InlineData(RoundingMode.Compensated, false, 4, true)]
    public void MakesTheSameChoicesAsTheLoops(RoundingMode mode, bool fit, int sweeps, bool fused)
    {
        var on = fused ? Fused() : Device;
        const int Rows = 40, N = 320, Size = 64;
        var settings = new AwqSettings { GroupSize = Size, Rounding = mode, FitRanges = fit, Sweeps = sweeps, KeepResiduals = true };
        var (a, b) = (ToTensor(Normal(Rows, N, 21)), ToTensor(Normal(Rows, N, 21)));
        using var host = Curvature.From(ToTensor(Gram(Activations(700, N, 22))));
        using var device = Curvature.From(ToTensor(Gram(Activations(700, N, 22))), on);
        var loops = LinearRounding.Round(a, host, 700, settings, out var expected);
        var tensors = LinearRounding.Round(b, device, 700, settings, out var loss);

        Assert.Equal(1, loss / expected, 2e-3);
        Assert.True(Equal(loops.Scales, tensors.Scales) > 0.99, $"{Equal(loops.Scales, tensors.Scales):P2} of the scales are the same");
        Assert.True(Equal(loops.Zeros, tensors.Zeros) > 0.99, $"{Equal(loops.Zeros, tensors.Zeros):P2} of the zero points are the same");
        Assert.True(Equal(loops.Codes, tensors.Codes) > 0.98, $"{Equal(loops.Codes, tensors.Codes):P2} of the codes are the same");
        Assert.True(Equal(loops.Residuals!, tensors.Residuals!) > 0.98, $"{Equal(loops.Residuals!, tensors.Residuals!):P2} of the residuals are the same");
        Assert.Equal(loops.RoundingGain is null, tensors.RoundingGain is null);
        Assert.Equal(loops.RoundingGain ?? 0, tensors.RoundingGain ?? 0, 2e-3);
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
    [InlineData(RoundingMode.Nearest, false)]
    [InlineData(RoundingMode.Compensated, false)]
    [InlineData(RoundingMode.Nearest, true)]
    [InlineData(RoundingMode.Compensated, true)]
    public void JudgesScalesAlike(RoundingMode mode, bool fused)
    {
        const int N = 256;
        var settings = new AwqSettings { GroupSize = 64, Rounding = mode };
        var weights = ToTensor(Normal(64, N, 41));
        var magnitude = Enumerable.Range(0, N).Select(i => 0.2f + i % 13).ToArray();
        var group = new ScaleGroup("test", "x", N, [], [new ScaleConsumer("a")], 0, false);
        using var host = Curvature.From(ToTensor(Gram(Activations(600, N, 42))));
        using var device = Curvature.From(ToTensor(Gram(Activations(600, N, 42))), fused ? Fused() : Device);
        var expected = new ScaleSearch([weights], host, magnitude, group, settings).Run(default);
        var found = new ScaleSearch([weights], device, magnitude, group, settings).Run(default);

        Assert.Equal((expected[0].Kind, expected[0].Ratio), (found[0].Kind, found[0].Ratio));
        foreach (var candidate in expected)
            if (found.FirstOrDefault(f => f.Kind == candidate.Kind && f.Ratio == candidate.Ratio) is { } other)
                Assert.Equal(1, other.Loss / candidate.Loss, 1e-3);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ConstantAndEmptyGroupsAreRoundedAlike(bool fused)
    {
        var values = new double[4, 32];
        for (var i = 0; i < 32; i++)
            (values[1, i], values[2, i], values[3, i]) = (0.25, -3, i % 2 == 0 ? 1e-9 : 0);
        var (a, b) = (ToTensor(values), ToTensor(values));
        var loops = LinearRounding.Plain(a, 32, ComputeDevice.Host);
        var tensors = LinearRounding.Plain(b, 32, fused ? Fused() : Device);
        Assert.Equal(loops.Scales, tensors.Scales);
        Assert.Equal(loops.Zeros, tensors.Zeros);
        Assert.Equal(loops.Codes, tensors.Codes);
    }

    /// <summary>Scales far outside of what weights have: where float16 ends on both sides, and where it becomes coarse.</summary>
    [Fact]
    public void FusedScalesAreRoundedToFloat16AsTheLoopsDo()
    {
        var random = new Random(3);
        var values = new double[512, 32];
        for (var row = 0; row < 512; row++)
            for (var i = 0; i < 32; i++)
                values[row, i] = (random.NextDouble() * 2 - 1) * Math.Pow(10, row * 0.03 - 9);
        var (a, b) = (ToTensor(values), ToTensor(values));
        var loops = LinearRounding.Plain(a, 32, ComputeDevice.Host);
        var kernels = LinearRounding.Plain(b, 32, Fused());
        Assert.Equal(loops.Scales, kernels.Scales);
        Assert.Equal(loops.Zeros, kernels.Zeros);
    }

    [Fact]
    public void KernelsThatComputeSomethingElseAreNotUsed()
    {
        var device = new SimulatedDevice(long.MaxValue, 0, ScalarType.Float32, new Wrong(HostKernels.Require()));
        Assert.Null(FusedRounding.Of(device));
        Assert.Contains("differ from torch's operations", FusedRounding.WhyNot(device));
        Assert.Equal("it is simulated", FusedRounding.WhyNot(Device));
        Assert.Null(FusedRounding.WhyNot(Fused()));
    }

    /// <summary>Forgets what the errors so far ask for.</summary>
    private sealed class Wrong(IRoundingKernels right) : IRoundingKernels
    {
        public void Fit(Tensor weights, Tensor? importance, int size, Tensor scales, Tensor zeros) => right.Fit(weights, importance, size, scales, zeros);

        public void Compensate(Tensor targets, Tensor weights, Tensor? factors, Tensor scale, Tensor zero, Tensor factor, long start, Tensor codes, Tensor errors, Tensor misses) =>
            right.Compensate(targets, weights, factors, scale, zero, zeros_like(factor), start, codes, errors, misses);

        public void Descend(Tensor codes, Tensor gradients, long at, Tensor h, Tensor scales, Tensor zeros, long group, Tensor errors, bool refit, Tensor change, Tensor gains) =>
            right.Descend(codes, gradients, at, h, scales, zeros, group, errors, refit, change, gains);
    }

    private static SimulatedDevice Fused()
    {
        var device = new SimulatedDevice(long.MaxValue, 0, ScalarType.Float32, HostKernels.Require());
        Assert.NotNull(FusedRounding.Of(device));
        return device;
    }

    private static double Equal<T>(T[] a, T[] b) where T : IEquatable<T> => a.Zip(b, (x, y) => x.Equals(y) ? 1.0 : 0).Average();
}
