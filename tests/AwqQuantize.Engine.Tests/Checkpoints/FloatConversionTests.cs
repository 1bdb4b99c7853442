using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests.Checkpoints;

public sealed unsafe class FloatConversionTests
{
    [Fact]
    public void AllHalvesBecomeTheFloatThatTheyAre()
    {
        // An odd length, so that the tail is converted too; an odd address, as in files with unaligned data.
        var source = new byte[2 * 65536 + 1];
        for (var i = 0; i < 65536; i++)
            BitConverter.TryWriteBytes(source.AsSpan(1 + 2 * i), (ushort)i);
        var result = new float[65536];
        foreach (var count in new[] { 65536, 65535, 65521 })
        {
            result.AsSpan().Clear();
            fixed (byte* s = source)
            fixed (float* r = result)
                FloatConversion.FromHalf(s + 1, r, count);
            for (var i = 0; i < count; i++)
            {
                var expected = (float)BitConverter.UInt16BitsToHalf((ushort)i);
                if (float.IsNaN(expected))
                    Assert.True(float.IsNaN(result[i]));
                else
                    Assert.True(BitConverter.SingleToUInt32Bits(expected) == BitConverter.SingleToUInt32Bits(result[i]), $"half {i:x4}: {expected} {result[i]}");
            }
        }
    }

    [Fact]
    public void FloatsRoundToTheNearestHalfTiesToEven()
    {
        var values = Samples();
        var result = new Half[values.Length];
        var conversion = FloatConversion.ToHalf(values, result);
        long overflows = 0;
        long nonFinite = 0;
        for (var i = 0; i < values.Length; i++)
        {
            var expected = (Half)values[i];
            if (float.IsNaN(values[i]))
                Assert.True(Half.IsNaN(result[i]));
            else
                Assert.True(BitConverter.HalfToUInt16Bits(expected) == BitConverter.HalfToUInt16Bits(result[i]), $"{values[i]:R}: {expected} {result[i]}");
            if (!float.IsFinite(values[i]))
                nonFinite++;
            else if (Half.IsInfinity(expected))
                overflows++;
        }
        Assert.Equal(new HalfConversion(overflows, nonFinite), conversion);
        Assert.False(conversion.IsExact);
    }

    [Theory]
    [InlineData(65504f, 0, 0)]
    [InlineData(65519.996f, 0, 0)]
    [InlineData(65520f, 1, 0)]
    [InlineData(-1e30f, 1, 0)]
    [InlineData(float.NaN, 0, 1)]
    [InlineData(float.NegativeInfinity, 0, 1)]
    public void OverflowIsCountedWhereverItLies(float value, long overflows, long nonFinite)
    {
        foreach (var position in new[] { 0, 15, 16, 32 })
        {
            var values = new float[33];
            values[position] = value;
            Assert.Equal(new HalfConversion(overflows, nonFinite), FloatConversion.ToHalf(values, new Half[33]));
        }
    }

    [Fact]
    public void AllBfloat16BecomeTheFloatThatTheyAre()
    {
        var source = new ushort[65536];
        for (var i = 0; i < source.Length; i++)
            source[i] = (ushort)i;
        var result = new float[65535];
        fixed (ushort* s = source)
        fixed (float* r = result)
            FloatConversion.FromBFloat16((byte*)s, r, result.Length);
        for (var i = 0; i < result.Length; i++)
            Assert.Equal((uint)i << 16, BitConverter.SingleToUInt32Bits(result[i]));
    }

    [Fact]
    public void LongInputsAreSplitWithoutSeams()
    {
        var count = 3 * (1 << 18) + 77;
        var source = new ushort[count];
        for (var i = 0; i < count; i++)
            source[i] = (ushort)(i * 31);
        var result = new float[count];
        var back = new ushort[count];
        fixed (ushort* s = source)
        fixed (float* r = result)
        fixed (ushort* b = back)
        {
            FloatConversion.FromBFloat16((byte*)s, r, count);
            for (var i = 0; i < count; i++)
                Assert.Equal((uint)source[i] << 16, BitConverter.SingleToUInt32Bits(r[i]));
            FloatConversion.FromHalf((byte*)s, r, count);
            FloatConversion.ToHalf(r, b, count);
            for (var i = 0; i < count; i++)
                Assert.True(source[i] == b[i] || (source[i] & 0x7fff) > 0x7c00);
        }
    }

    private static float[] Samples()
    {
        var random = new Random(3);
        var values = new List<float>
        {
            0f, -0f, 65504f, 65519f, 65520f, -65520f, 65536f, float.MaxValue, float.Epsilon, float.NaN, float.PositiveInfinity, float.NegativeInfinity,
            5.9604645e-8f, 2.9802322e-8f, 2.9802326e-8f, 8.940697e-8f, 6.1035156e-5f, 6.1005353e-5f, 6.097555e-5f,
        };
        // Every midpoint between neighbouring halves, and the floats on both sides of it.
        for (var i = 0; i < 0x7bff; i++)
        {
            var middle = (float)(((double)BitConverter.UInt16BitsToHalf((ushort)i) + (double)BitConverter.UInt16BitsToHalf((ushort)(i + 1))) / 2);
            values.AddRange([middle, MathF.BitDecrement(middle), MathF.BitIncrement(middle), -middle]);
        }
        for (var i = 0; i < 500_001; i++)
            values.Add(BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue)));
        return [.. values];
    }
}
