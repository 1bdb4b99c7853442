using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// Conversions between float32 and the 16-bit types over raw memory: integer arithmetic in vectors, the same result on
/// every processor. Source pointers need no alignment. Long inputs are split over the processors.
/// </summary>
public static unsafe class FloatConversion
{
    // Below this, starting tasks costs more than it saves; also the size of one task's piece.
    private const long Piece = 1 << 18;

    /// <summary>bfloat16 to float32, exactly.</summary>
    public static void FromBFloat16(byte* source, float* destination, long count) =>
        Split(count, (start, length) => BFloat16Piece((ushort*)source + start, destination + start, length));

    /// <summary>float16 to float32, exactly (signalling NaNs stay what they are).</summary>
    public static void FromHalf(byte* source, float* destination, long count) =>
        Split(count, (start, length) => HalfPiece((ushort*)source + start, destination + start, length));

    /// <summary>float64 to float32, to nearest.</summary>
    public static void FromDouble(byte* source, float* destination, long count) =>
        Split(count, (start, length) =>
        {
            var from = (double*)source + start;
            for (long i = 0; i < length; i++)
                destination[start + i] = (float)Unsafe.ReadUnaligned<double>(from + i);
        });

    /// <summary>float32 to float16, to nearest, ties to even; what lies outside becomes infinite and is counted.</summary>
    public static HalfConversion ToHalf(float* source, ushort* destination, long count)
    {
        long overflows = 0;
        long nonFinite = 0;
        Split(count, (start, length) =>
        {
            var part = ToHalfPiece(source + start, destination + start, length);
            if (part.IsExact)
                return;
            Interlocked.Add(ref overflows, part.Overflows);
            Interlocked.Add(ref nonFinite, part.NonFinite);
        });
        return new HalfConversion(overflows, nonFinite);
    }

    /// <inheritdoc cref="ToHalf(float*, ushort*, long)"/>
    public static HalfConversion ToHalf(ReadOnlySpan<float> source, Span<Half> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(destination.Length, source.Length);
        fixed (float* from = source)
        fixed (Half* to = destination)
            return ToHalf(from, (ushort*)to, source.Length);
    }

    /// <inheritdoc cref="FromHalf(byte*, float*, long)"/>
    public static void FromHalf(ReadOnlySpan<Half> source, Span<float> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(destination.Length, source.Length);
        fixed (Half* from = source)
        fixed (float* to = destination)
            FromHalf((byte*)from, to, source.Length);
    }

    /// <summary>Converts from any type that <see cref="TensorDtypeExtensions.IsReadableAsFloat"/>.</summary>
    public static void ToFloat(TensorDtype dtype, byte* source, float* destination, long count)
    {
        // A row of a matrix: not worth a closure.
        if (count <= Piece && dtype == TensorDtype.BF16)
        {
            BFloat16Piece((ushort*)source, destination, count);
            return;
        }
        switch (dtype)
        {
            case TensorDtype.F32:
                Split(count, (start, length) => Buffer.MemoryCopy((float*)source + start, destination + start, length * sizeof(float), length * sizeof(float)));
                break;
            case TensorDtype.F16:
                FromHalf(source, destination, count);
                break;
            case TensorDtype.BF16:
                FromBFloat16(source, destination, count);
                break;
            case TensorDtype.F64:
                FromDouble(source, destination, count);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "not readable as float");
        }
    }

    private delegate void PieceAction(long start, long length);

    private static void Split(long count, PieceAction action)
    {
        var pieces = (count + Piece - 1) / Piece;
        if (pieces <= 2)
            action(0, count);
        else
            Parallel.For(0L, pieces, p => action(p * Piece, Math.Min(Piece, count - p * Piece)));
    }

    private static void BFloat16Piece(ushort* source, float* destination, long count)
    {
        long i = 0;
        for (; i <= count - 16; i += 16)
        {
            var (low, high) = Vector256.Widen(Vector256.Load(source + i));
            (low << 16).AsSingle().Store(destination + i);
            (high << 16).AsSingle().Store(destination + i + 8);
        }
        for (; i < count; i++)
            destination[i] = BitConverter.UInt32BitsToSingle((uint)Unsafe.ReadUnaligned<ushort>(source + i) << 16);
    }

    private static void HalfPiece(ushort* source, float* destination, long count)
    {
        long i = 0;
        for (; i <= count - 16; i += 16)
        {
            var (low, high) = Vector256.Widen(Vector256.Load(source + i));
            Expand(low).Store(destination + i);
            Expand(high).Store(destination + i + 8);
        }
        if (i == count)
            return;
        var rest = stackalloc ushort[16];
        var expanded = stackalloc float[16];
        new Span<ushort>(rest, 16).Clear();
        Buffer.MemoryCopy(source + i, rest, 32, (count - i) * sizeof(ushort));
        HalfPiece(rest, expanded, 16);
        Buffer.MemoryCopy(expanded, destination + i, (count - i) * sizeof(float), (count - i) * sizeof(float));
    }

    /// <summary>Eight halves in the low 16 bits of each element, to float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Expand(Vector256<uint> half)
    {
        var exponentMask = Vector256.Create(0x7c00u << 13);
        var bits = (half & Vector256.Create(0x7fffu)) << 13;
        var exponent = bits & exponentMask;
        var rebiased = bits + Vector256.Create((127u - 15) << 23);
        var special = Vector256.Equals(exponent, exponentMask);
        rebiased += special & Vector256.Create((128u - 16) << 23);
        // A subnormal half: give it the implicit one and take that away again in float arithmetic, which normalises it.
        var tiny = Vector256.Equals(exponent, Vector256<uint>.Zero);
        var smallest = Vector256.Create(113u << 23).AsSingle();
        var normalised = ((rebiased + Vector256.Create(1u << 23)).AsSingle() - smallest).AsUInt32();
        var magnitude = Vector256.ConditionalSelect(tiny, normalised, rebiased);
        return (magnitude | ((half & Vector256.Create(0x8000u)) << 16)).AsSingle();
    }

    private static HalfConversion ToHalfPiece(float* source, ushort* destination, long count)
    {
        long overflows = 0;
        long nonFinite = 0;
        long i = 0;
        for (; i <= count - 16; i += 16)
        {
            var low = Vector256.Load(source + i).AsUInt32();
            var high = Vector256.Load(source + i + 8).AsUInt32();
            Vector256.Narrow(Shrink(low), Shrink(high)).Store(destination + i);
            var magnitudeMask = Vector256.Create(0x7fffffffu);
            // The least magnitude that rounds past 65504 is 65520.
            var large = Vector256.Max(low & magnitudeMask, high & magnitudeMask);
            if (!Vector256.GreaterThanOrEqualAny(large, Vector256.Create(0x477ff000u)))
                continue;
            for (var j = i; j < i + 16; j++)
                Count(source[j], ref overflows, ref nonFinite);
        }
        if (i < count)
        {
            var rest = stackalloc float[16];
            var shrunk = stackalloc ushort[16];
            new Span<float>(rest, 16).Clear();
            Buffer.MemoryCopy(source + i, rest, 64, (count - i) * sizeof(float));
            var part = ToHalfPiece(rest, shrunk, 16);
            Buffer.MemoryCopy(shrunk, destination + i, (count - i) * sizeof(ushort), (count - i) * sizeof(ushort));
            overflows += part.Overflows;
            nonFinite += part.NonFinite;
        }
        return new HalfConversion(overflows, nonFinite);
    }

    private static void Count(float value, ref long overflows, ref long nonFinite)
    {
        if (!float.IsFinite(value))
            nonFinite++;
        else if (MathF.Abs(value) >= 65520f)
            overflows++;
    }

    /// <summary>Eight float32 to halves in the low 16 bits of each element, ties to even.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Shrink(Vector256<uint> bits)
    {
        var magnitude = bits & Vector256.Create(0x7fffffffu);
        var sign = (bits ^ magnitude) >> 16;
        // Normal: rebias and add half of the last place, less one where the result would be odd at a tie.
        var odd = (magnitude >> 13) & Vector256.Create(1u);
        var normal = (magnitude + Vector256.Create(unchecked((uint)((15 - 127) << 23) + 0xfffu)) + odd) >> 13;
        // Subnormal: adding one half moves the wanted bits to the bottom, and the processor rounds to even.
        var half = Vector256.Create(126u << 23);
        var subnormal = (magnitude.AsSingle() + half.AsSingle()).AsUInt32() - half;
        var result = Vector256.ConditionalSelect(Vector256.LessThan(magnitude, Vector256.Create(113u << 23)), subnormal, normal);
        result = Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(0x47800000u)), Vector256.Create(0x7c00u), result);
        result = Vector256.ConditionalSelect(Vector256.GreaterThan(magnitude, Vector256.Create(0x7f800000u)), Vector256.Create(0x7e00u), result);
        return result | sign;
    }
}
