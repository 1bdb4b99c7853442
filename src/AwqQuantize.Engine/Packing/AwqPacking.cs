using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace AwqQuantize.Engine.Packing;

/// <summary>
/// The AWQ GEMM layout: eight 4-bit codes of neighbouring output channels in one int32, in the order
/// 0 2 4 6 1 3 5 7 from the lowest bits up, transposed to [in, out/8]. Zero points alike, without an offset. The same
/// bytes on every processor; split over the processors by output channels.
/// </summary>
public static unsafe class AwqPacking
{
    /// <summary>Largest code.</summary>
    public const int MaxCode = 15;

    private const int Octet = 8;

    // One cache line of words: what a task writes (or reads) side by side in each row.
    private const int TileOctets = 16;
    private const int TileInputs = 64;

    /// <summary>Lowest bit of each of an octet's columns.</summary>
    internal static ReadOnlySpan<byte> Shift => [0, 16, 4, 20, 8, 24, 12, 28];

    /// <summary>Packs one linear.</summary>
    /// <param name="codes">[out, in], each 0…15.</param>
    /// <param name="zeros">[out, in/groupSize], each 0…15.</param>
    /// <param name="scales">[out, in/groupSize].</param>
    /// <exception cref="ArgumentException">A size does not fit, or a code or zero point is above 15: it would spill into its neighbour.</exception>
    public static AwqTensors Pack(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> zeros, ReadOnlySpan<Half> scales, int outputs, int inputs, int groupSize)
    {
        fixed (byte* c = codes)
        fixed (byte* z = zeros)
        fixed (Half* s = scales)
        {
            RequireLength((long)outputs * inputs, codes.Length, nameof(codes));
            RequireShape(outputs, inputs, groupSize);
            RequireLength((long)outputs * (inputs / groupSize), zeros.Length, nameof(zeros));
            RequireLength(zeros.Length, scales.Length, nameof(scales));
            return Pack(c, z, s, outputs, inputs, groupSize);
        }
    }

    /// <inheritdoc cref="Pack(ReadOnlySpan{byte}, ReadOnlySpan{byte}, ReadOnlySpan{Half}, int, int, int)"/>
    public static AwqTensors Pack(byte* codes, byte* zeros, Half* scales, int outputs, int inputs, int groupSize)
    {
        RequireShape(outputs, inputs, groupSize);
        var groups = inputs / groupSize;
        var transposed = new Half[(long)groups * outputs];
        for (var g = 0; g < groups; g++)
        {
            for (var o = 0; o < outputs; o++)
                transposed[(long)g * outputs + o] = scales[(long)o * groups + g];
        }
        return new AwqTensors(inputs, outputs, groupSize, PackWords(codes, outputs, inputs, nameof(codes)), PackWords(zeros, outputs, groups, nameof(zeros)), transposed);
    }

    /// <summary>Packs codes, or zero points, alone.</summary>
    /// <param name="codes">[out, rows], each 0…15.</param>
    /// <param name="outputs">Output channels.</param>
    /// <param name="rows">Input channels, or groups of them.</param>
    /// <returns>int32 [rows, out/8].</returns>
    /// <exception cref="ArgumentException">A size does not fit, or a code is above 15.</exception>
    public static int[] PackWords(ReadOnlySpan<byte> codes, int outputs, int rows)
    {
        RequireShape(outputs, rows, 1);
        RequireLength((long)outputs * rows, codes.Length, nameof(codes));
        fixed (byte* c = codes)
            return PackWords(c, outputs, rows, nameof(codes));
    }

    /// <summary>Brings group scales, exact in float16, into the order of the format.</summary>
    /// <param name="scales">[out, groups].</param>
    /// <param name="outputs">Output channels.</param>
    /// <param name="groups">Groups per output channel.</param>
    /// <returns>[groups, out].</returns>
    public static Half[] TransposeScales(ReadOnlySpan<float> scales, int outputs, int groups)
    {
        RequireLength((long)outputs * groups, scales.Length, nameof(scales));
        var transposed = new Half[scales.Length];
        for (var o = 0; o < outputs; o++)
        {
            for (var g = 0; g < groups; g++)
                transposed[(long)g * outputs + o] = (Half)scales[o * groups + g];
        }
        return transposed;
    }

    private static int[] PackWords(byte* codes, int outputs, int rows, string argument)
    {
        var packed = new int[(long)rows * (outputs / Octet)];
        fixed (int* p = packed)
            PackCodes(codes, p, outputs, rows, argument);
        return packed;
    }

    /// <summary>The codes or zero points of packed words.</summary>
    /// <param name="packed">int32 [rows, out/8].</param>
    /// <param name="codes">[out, rows], overwritten.</param>
    public static void Unpack(int* packed, byte* codes, int outputs, int rows)
    {
        var octets = outputs / Octet;
        ForTiles(octets, rows, (firstOctet, octetCount) =>
        {
            var tile = stackalloc uint[TileOctets * TileInputs];
            for (var k = 0; k < rows; k += TileInputs)
            {
                var length = Math.Min(TileInputs, rows - k);
                Gather(packed, tile, octets, firstOctet, octetCount, k, length);
                for (var c = 0; c < octetCount; c++)
                {
                    for (var j = 0; j < Octet; j++)
                    {
                        var row = codes + (long)(Octet * (firstOctet + c) + j) * rows + k;
                        var shift = Shift[j];
                        for (var i = 0; i < length; i++)
                            row[i] = (byte)(tile[c * TileInputs + i] >> shift & MaxCode);
                    }
                }
            }
        });
    }

    /// <inheritdoc cref="Unpack(int*, byte*, int, int)"/>
    public static byte[] Unpack(ReadOnlySpan<int> packed, int outputs, int rows)
    {
        RequireLength((long)rows * (outputs / Octet), packed.Length, nameof(packed));
        var codes = new byte[(long)outputs * rows];
        fixed (int* p = packed)
        fixed (byte* c = codes)
            Unpack(p, c, outputs, rows);
        return codes;
    }

    /// <summary>The weights that readers compute from the packed form: (q - z) * s in float32.</summary>
    /// <param name="qweight">int32 [in, out/8].</param>
    /// <param name="qzeros">int32 [in/groupSize, out/8].</param>
    /// <param name="scales">float16 [in/groupSize, out].</param>
    /// <param name="destination">float32 [out, in], overwritten.</param>
    public static void Dequantize(int* qweight, int* qzeros, Half* scales, int outputs, int inputs, int groupSize, float* destination)
    {
        RequireShape(outputs, inputs, groupSize);
        var octets = outputs / Octet;
        ForTiles(octets, inputs, (firstOctet, octetCount) =>
        {
            var tile = stackalloc uint[TileOctets * TileInputs];
            for (var g = 0; g < inputs / groupSize; g++)
            {
                for (var k = g * groupSize; k < (g + 1) * groupSize; k += TileInputs)
                {
                    var length = Math.Min(TileInputs, (g + 1) * groupSize - k);
                    Gather(qweight, tile, octets, firstOctet, octetCount, k, length);
                    for (var c = 0; c < octetCount; c++)
                    {
                        var zeros = (uint)qzeros[(long)g * octets + firstOctet + c];
                        for (var j = 0; j < Octet; j++)
                        {
                            var output = Octet * (firstOctet + c) + j;
                            var scale = (float)scales[(long)g * outputs + output];
                            Scale(tile + c * TileInputs, Shift[j], (int)(zeros >> Shift[j] & MaxCode), scale, destination + (long)output * inputs + k, length);
                        }
                    }
                }
            }
        });
    }

    /// <inheritdoc cref="Dequantize(int*, int*, Half*, int, int, int, float*)"/>
    public static void Dequantize(AwqTensors tensors, float* destination)
    {
        fixed (int* w = tensors.QWeight)
        fixed (int* z = tensors.QZeros)
        fixed (Half* s = tensors.Scales)
            Dequantize(w, z, s, tensors.Out, tensors.In, tensors.GroupSize, destination);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scale(uint* words, int shift, int zero, float scale, float* destination, int length)
    {
        var mask = Vector256.Create((uint)MaxCode);
        var zeros = Vector256.Create(zero);
        var scales = Vector256.Create(scale);
        var i = 0;
        for (; i <= length - Vector256<int>.Count; i += Vector256<int>.Count)
        {
            var codes = ((Vector256.Load(words + i) >> shift) & mask).AsInt32();
            (Vector256.ConvertToSingle(codes - zeros) * scales).Store(destination + i);
        }
        for (; i < length; i++)
            destination[i] = ((int)(words[i] >> shift & MaxCode) - zero) * scale;
    }

    /// <summary>Packs some octets of output channels into their place among all.</summary>
    /// <param name="codes">[8 · count, rows], each 0…15.</param>
    /// <param name="rows">Input channels, or groups of them.</param>
    /// <param name="packed">int32 [rows, octets].</param>
    /// <param name="octets">Words per row.</param>
    /// <param name="firstOctet">Where the octets go.</param>
    /// <param name="count">How many; at most 16.</param>
    internal static void PackTile(byte* codes, int rows, int* packed, int octets, int firstOctet, int count)
    {
        var tile = stackalloc uint[TileOctets * TileInputs];
        for (var k = 0; k < rows; k += TileInputs)
        {
            var length = Math.Min(TileInputs, rows - k);
            for (var c = 0; c < count; c++)
                _ = Combine(codes + (long)Octet * c * rows + k, rows, tile + c * TileInputs, length);
            for (var i = 0; i < length; i++)
            {
                var row = packed + (long)(k + i) * octets + firstOctet;
                for (var c = 0; c < count; c++)
                    row[c] = (int)tile[c * TileInputs + i];
            }
        }
    }

    /// <summary>Packs [outputs, rows] into [rows, outputs/8].</summary>
    private static void PackCodes(byte* codes, int* packed, int outputs, int rows, string argument)
    {
        var octets = outputs / Octet;
        var spilled = 0;
        ForTiles(octets, rows, (firstOctet, octetCount) =>
        {
            var tile = stackalloc uint[TileOctets * TileInputs];
            uint seen = 0;
            for (var k = 0; k < rows; k += TileInputs)
            {
                var length = Math.Min(TileInputs, rows - k);
                for (var c = 0; c < octetCount; c++)
                    seen |= Combine(codes + (long)Octet * (firstOctet + c) * rows + k, rows, tile + c * TileInputs, length);
                for (var i = 0; i < length; i++)
                {
                    var row = packed + (long)(k + i) * octets + firstOctet;
                    for (var c = 0; c < octetCount; c++)
                        row[c] = (int)tile[c * TileInputs + i];
                }
            }
            if (seen > MaxCode)
                Interlocked.Exchange(ref spilled, 1);
        });
        if (spilled != 0)
            throw new ArgumentException($"A value is above {MaxCode} and would spill into its neighbour.", argument);
    }

    /// <summary>Words of one octet for neighbouring inputs; returns all codes ORed together.</summary>
    private static uint Combine(byte* codes, long stride, uint* words, int length)
    {
        var i = 0;
        uint seen = 0;
        if (length >= Vector128<byte>.Count)
        {
            var all = Vector128<byte>.Zero;
            for (; i <= length - Vector128<byte>.Count; i += Vector128<byte>.Count)
            {
                var r0 = Vector128.Load(codes + i);
                var r1 = Vector128.Load(codes + stride + i);
                var r2 = Vector128.Load(codes + 2 * stride + i);
                var r3 = Vector128.Load(codes + 3 * stride + i);
                var r4 = Vector128.Load(codes + 4 * stride + i);
                var r5 = Vector128.Load(codes + 5 * stride + i);
                var r6 = Vector128.Load(codes + 6 * stride + i);
                var r7 = Vector128.Load(codes + 7 * stride + i);
                all |= r0 | r1 | r2 | r3 | r4 | r5 | r6 | r7;
                // Columns 0 2 4 6 make the low half of a word, 1 3 5 7 the high half.
                var (lowA, lowB) = Interleave(r0, r2, r4, r6);
                var (highA, highB) = Interleave(r1, r3, r5, r7);
                Store(words + i, lowA, highA);
                Store(words + i + 8, lowB, highB);
            }
            for (var b = 0; b < Vector128<byte>.Count; b++)
                seen |= all[b];
        }
        for (; i < length; i++)
        {
            uint word = 0;
            for (var j = 0; j < Octet; j++)
            {
                uint code = codes[j * stride + i];
                seen |= code;
                word |= code << Shift[j];
            }
            words[i] = word;
        }
        return seen;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<ushort> First, Vector128<ushort> Second) Interleave(Vector128<byte> a, Vector128<byte> b, Vector128<byte> c, Vector128<byte> d)
    {
        var (a0, a1) = Vector128.Widen(a);
        var (b0, b1) = Vector128.Widen(b);
        var (c0, c1) = Vector128.Widen(c);
        var (d0, d1) = Vector128.Widen(d);
        return (a0 | (b0 << 4) | (c0 << 8) | (d0 << 12), a1 | (b1 << 4) | (c1 << 8) | (d1 << 12));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(uint* words, Vector128<ushort> low, Vector128<ushort> high)
    {
        var (l0, l1) = Vector128.Widen(low);
        var (h0, h1) = Vector128.Widen(high);
        (l0 | (h0 << 16)).Store(words);
        (l1 | (h1 << 16)).Store(words + 4);
    }

    /// <summary>Copies [length, octetCount] words into the tile, transposed.</summary>
    private static void Gather(int* packed, uint* tile, int octets, int firstOctet, int octetCount, int firstRow, int length)
    {
        for (var i = 0; i < length; i++)
        {
            var row = packed + (long)(firstRow + i) * octets + firstOctet;
            for (var c = 0; c < octetCount; c++)
                tile[c * TileInputs + i] = (uint)row[c];
        }
    }

    private delegate void TileAction(int firstOctet, int octetCount);

    private static void ForTiles(int octets, int rows, TileAction action)
    {
        var tiles = (octets + TileOctets - 1) / TileOctets;
        void Run(int tile) => action(tile * TileOctets, Math.Min(TileOctets, octets - tile * TileOctets));
        if ((long)octets * rows < 1 << 14)
        {
            for (var tile = 0; tile < tiles; tile++)
                Run(tile);
        }
        else
        {
            Parallel.For(0, tiles, Run);
        }
    }

    private static void RequireShape(int outputs, int inputs, int groupSize)
    {
        if (outputs <= 0 || outputs % Octet != 0)
            throw new ArgumentException($"{outputs} output channels are no multiple of {Octet}.", nameof(outputs));
        if (groupSize <= 0 || inputs <= 0 || inputs % groupSize != 0)
            throw new ArgumentException($"{inputs} input channels are no multiple of the group size {groupSize}.", nameof(inputs));
    }

    private static void RequireLength(long expected, long actual, string argument)
    {
        if (expected != actual)
            throw new ArgumentException($"{expected} values are needed, and there are {actual}.", argument);
    }
}
