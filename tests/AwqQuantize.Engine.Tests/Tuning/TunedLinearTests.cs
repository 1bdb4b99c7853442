using System.Runtime.InteropServices;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Tests.Evaluation;
using AwqQuantize.Engine.Tests.Packing;
using AwqQuantize.Engine.Tuning;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Tuning;

public sealed class TunedLinearTests(QuantizedSample sample) : IClassFixture<QuantizedSample>
{
    private const string Module = "model.layers.1.mlp.down_proj";

    /// <summary>The gradient of a scale is the sum over its codes of theirs: by hand, from an independent unpacking.</summary>
    [Fact]
    public void WeightsAndTheGradientOfScalesAreWhatTheFormatSays()
    {
        using var scope = NewDisposeScope();
        using var folder = ModelFolder.Open(sample.Path);
        var (codes, zeros, scales) = Stored(folder);
        using var linear = new TunedLinear(folder, Module, [128, 384], 128, new TuningSettings { ScaleRate = 1 }, resident: true, residuals: null, ComputeDevice.Host);
        var weight = linear.Weight().data<float>().ToArray();
        for (var o = 0; o < 128; o++)
            for (var i = 0; i < 384; i++)
                Assert.Equal((codes[o, i] - zeros[o, i / 128]) * (float)scales[i / 128, o], weight[o * 384 + i]);
        var gradient = randn([128L, 384L], generator: new Generator(4));
        linear.Offer(gradient, codes: false);
        var g = gradient.data<float>().ToArray();
        // The first step of Adam goes by the gradient's sign alone, and its width is the mean scale.
        var mean = Enumerable.Range(0, 128).Average(o => Enumerable.Range(0, 3).Average(k => (double)scales[k, o]));
        linear.Step(1, 0.01);
        var moved = linear.Scales.Master.data<float>().ToArray();
        for (var o = 0; o < 128; o++)
            for (var k = 0; k < 3; k++)
            {
                var slope = Enumerable.Range(128 * k, 128).Sum(i => (double)g[o * 384 + i] * (codes[o, i] - zeros[o, k]));
                Assert.Equal((float)scales[k, o] - 0.01 * mean * Math.Sign(slope), moved[3 * o + k], 1e-5);
            }
    }

    [Fact]
    public void MovedCodesAreStoredAsTheyAre()
    {
        using var scope = NewDisposeScope();
        using var temporary = new TemporaryFolder();
        using var folder = ModelFolder.Open(sample.Path);
        var (codes, _, _) = Stored(folder);
        using var linear = new TunedLinear(folder, Module, [128, 384], 128, new TuningSettings { CodeRate = 0.25 }, resident: true, residuals: full([128L, 384L], 0.4f), ComputeDevice.Host);
        var gradient = ones(128, 384);
        gradient.narrow(0, 0, 64).neg_();
        linear.Offer(gradient, codes: true);
        linear.Step(1, 1);
        PartFile.Write(temporary.File("part"), [.. linear.Payloads()]);
        using var part = SafetensorsFile.Open(temporary.File("part"));
        var now = ReferenceUnpacker.Unpack(Words(part, Module + ".qweight"), 384, 16);
        for (var o = 0; o < 128; o++)
            for (var i = 0; i < 384; i++)
                Assert.Equal(o < 64 ? Math.Min(15, codes[o, i] + 1) : codes[o, i], now[i, o]);
    }

    /// <summary>Codes [out, in], zero points [out, groups], scales [groups, out].</summary>
    private static (int[,] Codes, int[,] Zeros, Half[,] Scales) Stored(ModelFolder folder)
    {
        var codes = ReferenceUnpacker.Unpack(ReferenceUnpacker.Read<int>(folder, Module + ".qweight"), 384, 16);
        var zeros = ReferenceUnpacker.Unpack(ReferenceUnpacker.Read<int>(folder, Module + ".qzeros"), 3, 16);
        var flat = ReferenceUnpacker.Read<Half>(folder, Module + ".scales");
        var (transposed, points, scales) = (new int[128, 384], new int[128, 3], new Half[3, 128]);
        for (var o = 0; o < 128; o++)
        {
            for (var i = 0; i < 384; i++)
                transposed[o, i] = codes[i, o];
            for (var k = 0; k < 3; k++)
                (points[o, k], scales[k, o]) = (zeros[k, o], flat[k * 128 + o]);
        }
        return (transposed, points, scales);
    }

    private static unsafe int[] Words(SafetensorsFile file, string name) =>
        MemoryMarshal.Cast<byte, int>(new ReadOnlySpan<byte>(file.Pointer(file.Tensors[name]), (int)file.Tensors[name].ByteLength)).ToArray();
}
