namespace AwqQuantize.Engine.Checkpoints;

/// <summary>Element types of the safetensors format; the members' names are the format's own spellings.</summary>
public enum TensorDtype
{
    BOOL,
    U8,
    I8,
    F8_E5M2,
    F8_E4M3,
    F8_E8M0,
    I16,
    U16,
    F16,
    BF16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
    F6_E2M3,
    F6_E3M2,
    F4,
}

/// <summary>Names and sizes of <see cref="TensorDtype"/>.</summary>
public static class TensorDtypeExtensions
{
    /// <summary>Reads the format's spelling, which is case sensitive.</summary>
    public static bool TryParse(string name, out TensorDtype dtype)
    {
        // Enum.TryParse alone would also take numbers and lists.
        return Enum.TryParse(name, ignoreCase: false, out dtype) && dtype.ToString() == name;
    }

    /// <summary>Bits of one element; below eight for the packed types.</summary>
    public static int BitSize(this TensorDtype dtype) => dtype switch
    {
        TensorDtype.F4 => 4,
        TensorDtype.F6_E2M3 or TensorDtype.F6_E3M2 => 6,
        TensorDtype.BOOL or TensorDtype.U8 or TensorDtype.I8
            or TensorDtype.F8_E5M2 or TensorDtype.F8_E4M3 or TensorDtype.F8_E8M0 => 8,
        TensorDtype.I16 or TensorDtype.U16 or TensorDtype.F16 or TensorDtype.BF16 => 16,
        TensorDtype.I32 or TensorDtype.U32 or TensorDtype.F32 => 32,
        TensorDtype.C64 or TensorDtype.F64 or TensorDtype.I64 or TensorDtype.U64 => 64,
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "not an element type"),
    };

    /// <summary>Whether <see cref="ModelFolder.ReadFloat(string, Span{float})"/> converts it.</summary>
    public static bool IsReadableAsFloat(this TensorDtype dtype) =>
        dtype is TensorDtype.F32 or TensorDtype.F16 or TensorDtype.BF16 or TensorDtype.F64;

    /// <summary>Bytes of a tensor of this type and shape, or null when the elements do not fill whole bytes.</summary>
    /// <exception cref="OverflowException">The size does not fit 64 bits.</exception>
    public static long? ByteLength(this TensorDtype dtype, ReadOnlySpan<long> shape)
    {
        var elements = ElementCount(shape);
        var bits = dtype.BitSize();
        if (bits >= 8)
            return checked(elements * (bits / 8));
        var total = checked(elements * bits);
        return total % 8 == 0 ? total / 8 : null;
    }

    /// <summary>Product of the dimensions.</summary>
    /// <exception cref="OverflowException">The product does not fit 64 bits.</exception>
    public static long ElementCount(ReadOnlySpan<long> shape)
    {
        // A zero anywhere makes the tensor empty, whatever the other dimensions multiply to.
        if (shape.Contains(0))
            return 0;
        long count = 1;
        foreach (var dimension in shape)
            count = checked(count * dimension);
        return count;
    }
}
