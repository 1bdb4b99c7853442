namespace AwqQuantize.Engine.Checkpoints;

/// <summary>Where one tensor lies.</summary>
/// <param name="Name">Name in the checkpoint.</param>
/// <param name="Dtype">Element type as stored.</param>
/// <param name="Shape">Dimensions, slowest first; empty for a scalar.</param>
/// <param name="File">Full path of the safetensors file that holds it.</param>
/// <param name="Offset">Bytes from the start of that file; not necessarily aligned to the element size.</param>
/// <param name="ByteLength">Bytes of its data.</param>
public sealed record TensorEntry(string Name, TensorDtype Dtype, long[] Shape, string File, long Offset, long ByteLength)
{
    /// <summary>Number of elements; cannot overflow, for the reader has checked it.</summary>
    public long ElementCount => TensorDtypeExtensions.ElementCount(Shape);

    /// <summary>The shape as people read it, e.g. <c>[4096, 11008]</c>.</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}
