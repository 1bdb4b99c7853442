using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Packing;
using AwqQuantize.Engine.Tests.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Packing;

/// <summary>Packing by operations on whole tensors, against the unpacker that was written from the format's description.</summary>
public sealed class TensorPackingTests
{
    [Theory]
    [InlineData(8, 1)]
    [InlineData(24, 5)]
    [InlineData(128, 96)]
    public void MakesTheWordsOfTheFormat(int outputs, int inputs)
    {
        var random = new Random(outputs);
        var codes = new byte[outputs * inputs];
        random.NextBytes(codes);
        for (var i = 0; i < codes.Length; i++)
            codes[i] &= AwqPacking.MaxCode;
        using var scope = NewDisposeScope();
        var words = TensorPacking.Pack(tensor(codes, [outputs, inputs]).to(ScalarType.Float32));

        Assert.Equal([inputs, outputs / 8], words.shape);
        var read = ReferenceUnpacker.Unpack(words.data<int>().ToArray(), inputs, outputs / 8);
        for (var o = 0; o < outputs; o++)
            for (var k = 0; k < inputs; k++)
                Assert.Equal(codes[o * inputs + k], read[k, o]);
        Assert.Equal(codes.Select(c => (int)c), TensorPacking.Unpack(words.view(-1), outputs).contiguous().data<int>().ToArray());
    }

    /// <summary>What comes from a device is packed there and means what its bytes mean; rows that the format cannot hold come as bytes.</summary>
    [Theory]
    [InlineData(16, true)]
    [InlineData(12, false)]
    public void LinearsComeFromADevicePacked(int rows, bool packed)
    {
        const int Columns = 64, Size = 32;
        using var scope = NewDisposeScope();
        var device = new SimulatedDevice(long.MaxValue);
        var weights = randn([rows, Columns], generator: new Generator(5));
        var (onHost, onDevice) = (weights.clone(), weights.clone());
        var expected = LinearRounding.Plain(onHost, Size, ComputeDevice.Host);
        var found = LinearRounding.Plain(onDevice, Size, device);

        Assert.Equal(packed, found.Words is not null);
        Assert.Null(expected.Words);
        Assert.Equal(expected.Codes, found.Codes);
        if (packed)
            Assert.Equal(AwqPacking.PackWords(expected.Codes, rows, Columns), found.Words);
        Assert.True(TensorLinear.Upload(found, device).equal(onHost).all().item<bool>());
    }
}
