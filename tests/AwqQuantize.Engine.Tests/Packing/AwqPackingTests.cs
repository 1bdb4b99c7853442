using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Tests.Packing;

public sealed unsafe class AwqPackingTests
{
    [Fact]
    public void AVectorWorkedByHandIsPackedAsTheFormatSays()
    {
        // One input channel, eight outputs with the codes 0…7. From the lowest bits up the columns are 0 2 4 6 1 3 5 7,
        // so the word reads, from the highest digit down, 7 5 3 1 6 4 2 0.
        byte[] codes = [0, 1, 2, 3, 4, 5, 6, 7];
        // Zero points 15 … 8: 8 A C E 9 B D F, which is negative in two's complement.
        byte[] zeros = [15, 14, 13, 12, 11, 10, 9, 8];
        Half[] scales = [(Half)1, (Half)2, (Half)3, (Half)4, (Half)5, (Half)6, (Half)7, (Half)0.5];
        var packed = AwqPacking.Pack(codes, zeros, scales, outputs: 8, inputs: 1, groupSize: 1);
        Assert.Equal([0x75316420], packed.QWeight);
        Assert.Equal([unchecked((int)0x8ACE9BDF)], packed.QZeros);
        Assert.Equal(scales, packed.Scales);
        var weights = new float[8];
        fixed (float* w = weights)
            AwqPacking.Dequantize(packed, w);
        Assert.Equal([-15f, -26f, -33f, -36f, -35f, -30f, -21f, -0.5f], weights);
    }

    [Fact]
    public void AThousandRandomMatricesComeBack()
    {
        var random = new Random(11);
        for (var round = 0; round < 1000; round++)
        {
            var outputs = 8 * random.Next(1, round % 50 == 0 ? 60 : 20);
            int[] sizes = [1, 3, 8, 16, 32, 64, 65, 128, 130];
            var group = sizes[random.Next(sizes.Length)];
            var inputs = group * random.Next(1, 5);
            var tensors = Random(random, outputs, inputs, group, out var codes, out var zeros, out var scales);
            Assert.Equal([inputs, outputs / 8], tensors.QWeightShape);
            Assert.Equal([inputs / group, outputs / 8], tensors.QZerosShape);
            Assert.Equal([inputs / group, outputs], tensors.ScalesShape);
            // The reference unpacker sees the codes that went in …
            var unpacked = ReferenceUnpacker.Unpack(tensors.QWeight, inputs, outputs / 8);
            var unpackedZeros = ReferenceUnpacker.Unpack(tensors.QZeros, inputs / group, outputs / 8);
            for (var o = 0; o < outputs; o++)
            {
                for (var k = 0; k < inputs; k++)
                    Assert.True(codes[o * inputs + k] == unpacked[k, o]);
                for (var g = 0; g < inputs / group; g++)
                {
                    Assert.True(zeros[o * (inputs / group) + g] == unpackedZeros[g, o]);
                    Assert.True(scales[o * (inputs / group) + g] == tensors.Scales[g * outputs + o]);
                }
            }
            // … and so does ours.
            Assert.Equal(codes, AwqPacking.Unpack(tensors.QWeight, outputs, inputs));
            Assert.Equal(zeros, AwqPacking.Unpack(tensors.QZeros, outputs, inputs / group));
            var weights = new float[outputs * inputs];
            fixed (float* w = weights)
                AwqPacking.Dequantize(tensors, w);
            Assert.Equal(ReferenceUnpacker.Dequantize(tensors.QWeight, tensors.QZeros, tensors.Scales, outputs, inputs, group), weights);
        }
    }

    [Fact]
    public void ALargeMatrixIsSplitWithoutSeams()
    {
        var tensors = Random(new Random(2), 136 * 8, 640, 128, out var codes, out _, out _);
        var unpacked = ReferenceUnpacker.Unpack(tensors.QWeight, 640, 136);
        for (var i = 0; i < codes.Length; i++)
            Assert.True(codes[i] == unpacked[i % 640, i / 640]);
        var weights = new float[136 * 8 * 640];
        fixed (float* w = weights)
            AwqPacking.Dequantize(tensors, w);
        Assert.Equal(ReferenceUnpacker.Dequantize(tensors.QWeight, tensors.QZeros, tensors.Scales, 136 * 8, 640, 128), weights);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(500)]
    [InlineData(1023)]
    public void ACodeAboveFifteenIsRefusedAndDoesNotSpill(int position)
    {
        var codes = new byte[1024];
        codes[position] = 16;
        var error = Assert.Throws<ArgumentException>(() => AwqPacking.Pack(codes, new byte[32], new Half[32], 32, 32, 32));
        Assert.Equal("codes", error.ParamName);
        var zeros = new byte[32];
        zeros[31] = 255;
        Assert.Equal("zeros", Assert.Throws<ArgumentException>(() => AwqPacking.Pack(new byte[1024], zeros, new Half[32], 32, 32, 32)).ParamName);
    }

    [Theory]
    [InlineData(12, 32, 32)]
    [InlineData(8, 48, 32)]
    [InlineData(8, 32, 0)]
    [InlineData(0, 32, 32)]
    public void ShapesThatTheFormatCannotHoldAreRefused(int outputs, int inputs, int group) =>
        Assert.Throws<ArgumentException>(() => AwqPacking.Pack(new byte[outputs * inputs], [], [], outputs, inputs, group));

    [Fact]
    public void WrongLengthsAreRefused()
    {
        Assert.Equal("codes", Assert.Throws<ArgumentException>(() => AwqPacking.Pack(new byte[255], new byte[8], new Half[8], 8, 32, 32)).ParamName);
        Assert.Equal("zeros", Assert.Throws<ArgumentException>(() => AwqPacking.Pack(new byte[256], new byte[7], new Half[8], 8, 32, 32)).ParamName);
        Assert.Equal("scales", Assert.Throws<ArgumentException>(() => AwqPacking.Pack(new byte[256], new byte[8], new Half[9], 8, 32, 32)).ParamName);
        Assert.Equal("packed", Assert.Throws<ArgumentException>(() => AwqPacking.Unpack(new int[31], 8, 32)).ParamName);
    }

    [Fact]
    [Trait("Category", "Acceptance")]
    public void AFolderWrittenByAutoAwqOpensAndIsCloseToItsSource()
    {
        using var golden = ModelFolder.Open(SharedData.Require("golden/autoawq_babyllama361_g32"));
        using var source = ModelFolder.Open(SharedData.Require("models/babyllama361-hf"));
        var config = QuantizationConfig.Read(golden.Config.Root, golden.Path);
        Assert.Equal(32, config.GroupSize);
        Assert.Empty(config.ModulesToNotConvert);
        var modules = golden.Tensors.Keys.Where(n => n.EndsWith(".qweight", StringComparison.Ordinal)).Select(n => n[..^".qweight".Length]).ToList();
        Assert.Equal(35, modules.Count);
        foreach (var module in modules)
        {
            var entry = golden.Entry(module + ".qweight");
            var (inputs, outputs) = ((int)entry.Shape[0], (int)entry.Shape[1] * 8);
            var qweight = ReferenceUnpacker.Read<int>(golden, module + ".qweight");
            var qzeros = ReferenceUnpacker.Read<int>(golden, module + ".qzeros");
            var scales = ReferenceUnpacker.Read<Half>(golden, module + ".scales");
            var weights = new float[outputs * inputs];
            fixed (float* w = weights)
                AwqPacking.Dequantize((int*)golden.Pointer(module + ".qweight"), (int*)golden.Pointer(module + ".qzeros"), (Half*)golden.Pointer(module + ".scales"), outputs, inputs, 32, w);
            Assert.Equal(ReferenceUnpacker.Dequantize(qweight, qzeros, scales, outputs, inputs, 32), weights);
            // q and k are not scaled on their outputs, so a column of theirs is a multiple of the source's: a wrong order
            // of columns or rows would leave no correlation.
            if (!module.EndsWith("q_proj", StringComparison.Ordinal))
                continue;
            var original = new float[outputs * inputs];
            source.ReadFloat(module + ".weight", original);
            for (var k = 0; k < inputs; k++)
            {
                double dot = 0, a = 0, b = 0;
                for (var o = 0; o < outputs; o++)
                {
                    var (x, y) = ((double)weights[o * inputs + k], (double)original[o * inputs + k]);
                    (dot, a, b) = (dot + x * y, a + x * x, b + y * y);
                }
                // A column that the model hardly uses can be rounded away; none is anti-correlated.
                Assert.True(dot / Math.Sqrt(a * b) > 0.8, $"{module} column {k}: {dot / Math.Sqrt(a * b)}");
            }
        }
    }

    private static AwqTensors Random(Random random, int outputs, int inputs, int group, out byte[] codes, out byte[] zeros, out Half[] scales)
    {
        codes = [.. Enumerable.Range(0, outputs * inputs).Select(_ => (byte)random.Next(16))];
        zeros = [.. Enumerable.Range(0, outputs * (inputs / group)).Select(_ => (byte)random.Next(16))];
        scales = [.. zeros.Select(_ => (Half)(random.NextDouble() + 0.001))];
        return AwqPacking.Pack(codes, zeros, scales, outputs, inputs, group);
    }
}
