using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>
/// Hashes with a key of their own: a file that chooses what goes into a table cannot choose what collides in it. The
/// results of look-ups do not depend on the key.
/// </summary>
internal readonly struct KeyedHash
{
    private readonly ulong first;
    private readonly ulong second;

    private KeyedHash(ulong first, ulong second) => (this.first, this.second) = (first, second | 1);

    public static KeyedHash Create() => new((ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue), (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Of(ulong value) => Fold(value ^ first, second);

    /// <summary>Eight bytes at a time, each folded by a full multiplication, as wyhash does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Of(ReadOnlySpan<byte> bytes)
    {
        ulong state = first ^ (ulong)bytes.Length;
        while (bytes.Length >= 8)
        {
            state = Fold(state ^ MemoryMarshal.Read<ulong>(bytes), second);
            bytes = bytes[8..];
        }

        ulong rest = 0;
        if (bytes.Length >= 4)
        {
            rest = MemoryMarshal.Read<uint>(bytes) | ((ulong)MemoryMarshal.Read<uint>(bytes[^4..]) << 32);
        }
        else if (bytes.Length > 0)
        {
            rest = bytes[0] | ((ulong)bytes[bytes.Length >> 1] << 8) | ((ulong)bytes[^1] << 16);
        }

        return Fold(state ^ rest, second ^ 0x9E3779B97F4A7C15);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Fold(ulong left, ulong right)
    {
        ulong high = Math.BigMul(left, right, out ulong low);
        return high ^ low;
    }
}
