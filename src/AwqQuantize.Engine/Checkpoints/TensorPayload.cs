using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// A tensor to be written: its header entry, and how its bytes are produced when their turn comes. Large tensors pass
/// through a small buffer, so that memory does not depend on their size.
/// </summary>
public sealed unsafe class TensorPayload
{
    private const int ChunkElements = 1 << 20;

    /// <param name="name">Name in the checkpoint.</param>
    /// <param name="dtype">Element type in the file.</param>
    /// <param name="shape">Dimensions, slowest first.</param>
    /// <param name="write">Writes exactly the tensor's bytes; called once or more, on the writer's thread.</param>
    public TensorPayload(string name, TensorDtype dtype, long[] shape, Action<Stream> write)
    {
        Name = name;
        Dtype = dtype;
        Shape = shape;
        Write = write;
        ByteLength = dtype.ByteLength(shape) ?? throw new ArgumentException($"'{name}' of type {dtype} does not fill whole bytes.", nameof(shape));
    }

    public string Name { get; }

    public TensorDtype Dtype { get; }

    public long[] Shape { get; }

    public long ByteLength { get; }

    internal Action<Stream> Write { get; }

    /// <summary>Bytes in managed memory.</summary>
    public static TensorPayload FromBytes(string name, TensorDtype dtype, long[] shape, ReadOnlyMemory<byte> data) =>
        new(name, dtype, shape, stream => stream.Write(data.Span));

    /// <summary>Elements in managed memory, e.g. <c>int</c> as I32 or <c>Half</c> as F16.</summary>
    public static TensorPayload From<T>(string name, TensorDtype dtype, long[] shape, T[] data)
        where T : unmanaged =>
        new(name, dtype, shape, stream => stream.Write(MemoryMarshal.AsBytes(data.AsSpan())));

    /// <summary>Bytes in native memory, which must stay alive until the file is written.</summary>
    public static TensorPayload FromPointer(string name, TensorDtype dtype, long[] shape, byte* data, long byteLength) =>
        new(name, dtype, shape, stream => WriteNative(stream, data, byteLength));

    /// <summary>float32 values in native memory, stored as F16. The memory must stay alive until the file is written.</summary>
    /// <exception cref="AwqException"><c>TensorOverflowsHalf</c>, <c>TensorNotFinite</c>, when the file is written.</exception>
    public static TensorPayload HalfFromFloat(string name, long[] shape, float* data) =>
        new(name, TensorDtype.F16, shape, stream =>
        {
            var count = TensorDtypeExtensions.ElementCount(shape);
            var half = new ushort[Math.Min(count, ChunkElements)];
            for (long start = 0; start < count; start += ChunkElements)
                WriteHalf(stream, name, data + start, half.AsSpan(0, (int)Math.Min(ChunkElements, count - start)));
        });

    /// <summary>A tensor of a model as it is, in its own type.</summary>
    public static TensorPayload Copy(ModelFolder model, string name, string? newName = null)
    {
        var entry = model.Entry(name);
        return new(newName ?? name, entry.Dtype, entry.Shape, stream =>
        {
            WriteNative(stream, model.Pointer(name), entry.ByteLength, (start, length) => model.Release(name, start, length));
        });
    }

    /// <summary>A float tensor of a model, stored as F16; F16 is copied after the same check.</summary>
    /// <exception cref="AwqException"><c>TensorDtypeNotSupported</c> at once; <c>TensorOverflowsHalf</c>,
    /// <c>TensorNotFinite</c> when the file is written.</exception>
    public static TensorPayload AsHalf(ModelFolder model, string name, string? newName = null)
    {
        var entry = model.Entry(name);
        ModelFolder.RequireFloat(entry);
        return new(newName ?? name, TensorDtype.F16, entry.Shape, stream =>
        {
            var count = entry.ElementCount;
            var size = (int)Math.Min(count, ChunkElements);
            var values = new float[size];
            var half = new ushort[size];
            var source = model.Pointer(name);
            fixed (float* chunk = values)
            {
                for (long start = 0; start < count; start += ChunkElements)
                {
                    var length = (int)Math.Min(ChunkElements, count - start);
                    FloatConversion.ToFloat(entry.Dtype, source + start * (entry.Dtype.BitSize() / 8), chunk, length);
                    WriteHalf(stream, name, chunk, half.AsSpan(0, length));
                    model.Release(name, start * (entry.Dtype.BitSize() / 8), length * (long)(entry.Dtype.BitSize() / 8));
                }
            }
        });
    }

    internal static TensorPayload Copy(SafetensorsFile file, TensorEntry entry) =>
        new(entry.Name, entry.Dtype, entry.Shape, stream =>
        {
            WriteNative(stream, file.Pointer(entry), entry.ByteLength, (start, length) => file.Release(entry, start, length));
        });

    private static void WriteHalf(Stream stream, string name, float* values, Span<ushort> half)
    {
        fixed (ushort* destination = half)
        {
            var conversion = FloatConversion.ToHalf(values, destination, half.Length);
            if (conversion.NonFinite > 0)
            {
                throw new AwqException("TensorNotFinite", AwqErrorKind.InvalidData,
                    $"Tensor '{name}' holds values that are infinite or not a number.",
                    "The model's weights are damaged: download them again, or use another checkpoint.");
            }
            if (conversion.Overflows > 0)
            {
                throw new AwqException("TensorOverflowsHalf", AwqErrorKind.NotSupported,
                    $"Tensor '{name}' holds values beyond 65504, which float16 cannot hold.",
                    "This model cannot be stored in the AWQ format, whose readers compute in float16.");
            }
        }
        stream.Write(MemoryMarshal.AsBytes(half));
    }

    private static void WriteNative(Stream stream, byte* data, long length, Action<long, long>? written = null)
    {
        const int chunk = 8 << 20;
        for (long start = 0; start < length; start += chunk)
        {
            var count = Math.Min(chunk, length - start);
            stream.Write(new ReadOnlySpan<byte>(data + start, (int)count));
            written?.Invoke(start, count);
        }
    }
}
