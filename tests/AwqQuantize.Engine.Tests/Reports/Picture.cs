using System.Buffers.Binary;
using System.IO.Compression;

namespace AwqQuantize.Engine.Tests.Reports;

/// <summary>The pixels of a PNG as browsers write it: 8 bits per channel, not interlaced.</summary>
internal sealed class Picture
{
    private readonly byte[] pixels;
    private readonly int channels;

    public Picture(string file)
    {
        var bytes = File.ReadAllBytes(file);
        using var packed = new MemoryStream();
        for (var at = 8; at < bytes.Length;)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at));
            var type = System.Text.Encoding.ASCII.GetString(bytes, at + 4, 4);
            if (type == "IHDR")
            {
                Width = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at + 8));
                Height = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at + 12));
                Assert.Equal(8, bytes[at + 16]);
                channels = bytes[at + 17] switch { 2 => 3, 6 => 4, var other => throw new InvalidDataException($"colour type {other}") };
            }
            else if (type == "IDAT")
                packed.Write(bytes, at + 8, length);
            at += length + 12;
        }
        packed.Position = 0;
        var stride = Width * channels;
        pixels = new byte[stride * Height];
        using var rows = new ZLibStream(packed, CompressionMode.Decompress);
        for (var y = 0; y < Height; y++)
        {
            var filter = rows.ReadByte();
            rows.ReadExactly(pixels.AsSpan(y * stride, stride));
            for (var i = y * stride; i < (y + 1) * stride; i++)
            {
                int left = i - channels >= y * stride ? pixels[i - channels] : 0, up = y > 0 ? pixels[i - stride] : 0;
                var corner = y > 0 && i - channels >= y * stride ? pixels[i - stride - channels] : 0;
                pixels[i] += (byte)(filter switch { 0 => 0, 1 => left, 2 => up, 3 => (left + up) / 2, _ => Paeth(left, up, corner) });
            }
        }
    }

    public int Width { get; }

    public int Height { get; }

    /// <summary>The colour as 0xRRGGBB.</summary>
    public int this[int x, int y]
    {
        get
        {
            var at = (y * Width + x) * channels;
            return pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2];
        }
    }

    /// <summary>How many pixels have exactly this colour.</summary>
    public int Count(int colour)
    {
        var count = 0;
        for (var y = 0; y < Height; y++)
            for (var x = 0; x < Width; x++)
                count += this[x, y] == colour ? 1 : 0;
        return count;
    }

    private static int Paeth(int left, int up, int corner)
    {
        var (a, b, c) = (Math.Abs(up - corner), Math.Abs(left - corner), Math.Abs(left + up - 2 * corner));
        return a <= b && a <= c ? left : b <= c ? up : corner;
    }
}
