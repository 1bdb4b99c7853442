using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Calibration;

/// <summary>
/// The residual stream of all calibration rows between two layers, [rows, length, width] float32, in one buffer that each layer
/// overwrites: in memory, or in a file that is mapped.
/// </summary>
public sealed unsafe class HiddenStates : IDisposable
{
    private const long Piece = 16L << 20;

    private string? file;
    private Tensor buffer;

    /// <param name="rows">Calibration rows.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="width">Channels of the residual stream.</param>
    /// <param name="file">Where to keep them if not in memory; deleted on disposal.</param>
    public HiddenStates(int rows, int length, int width, string? file = null)
    {
        (Rows, Length, Width, this.file) = (rows, length, width, file);
        var count = (long)rows * length * width;
        // It outlives the dispose scope that it happens to be made in.
        buffer = (file is null ? empty(count) : from_file(file, true, count, ScalarType.Float32)).DetachFromDisposeScope();
    }

    public int Rows { get; }

    /// <summary>Tokens per row.</summary>
    public int Length { get; private set; }

    public int Width { get; }

    /// <summary>All tokens of all rows.</summary>
    public long Tokens => (long)Rows * Length;

    public bool OnDisk => file is not null;

    /// <summary>A view of some rows, [count, length, width]; the caller disposes it.</summary>
    public Tensor View(int from, int count)
    {
        var perRow = (long)Length * Width;
        using var part = buffer.narrow(0, from * perRow, count * perRow);
        return part.view(count, Length, Width);
    }

    /// <summary>Overwrites rows.</summary>
    public void Store(int from, Tensor values)
    {
        using (var view = View(from, (int)values.shape[0]))
            view.copy_(values);
        Release(from, (int)values.shape[0]);
    }

    /// <summary>Some rows are not needed for a while: where they are on disk, they leave memory.</summary>
    public void Release(int from, int count)
    {
        var perRow = (long)Length * Width;
        if (OnDisk)
            MappedPages.Drop(TensorMemory.Floats(buffer) + from * perRow, count * perRow * sizeof(float));
    }

    /// <summary>
    /// Shortens every row. Attention is causal, so what is left is exactly what shorter rows would have led to: nothing needs to be
    /// computed again.
    /// </summary>
    public void Truncate(int length)
    {
        if (length > Length)
            throw new ArgumentOutOfRangeException(nameof(length), $"Rows have {Length} tokens and cannot be made {length} long.");
        var data = TensorMemory.Floats(buffer);
        long kept = (long)length * Width, old = (long)Length * Width;
        for (long row = 1; row < Rows; row++)
            new ReadOnlySpan<float>(data + row * old, checked((int)kept)).CopyTo(new Span<float>(data + row * kept, (int)kept));
        Length = length;
    }

    /// <summary>Moves the states from memory to a file.</summary>
    public void MoveTo(string path)
    {
        if (OnDisk)
            return;
        File.Delete(path);
        var mapped = from_file(path, true, Tokens * Width, ScalarType.Float32).DetachFromDisposeScope();
        using (var kept = buffer.narrow(0, 0, Tokens * Width))
            mapped.copy_(kept);
        buffer.Dispose();
        (buffer, file) = (mapped, path);
        Release(0, Rows);
    }

    /// <summary>Writes the states where a later process can take them up.</summary>
    public void Save(Stream stream)
    {
        var data = (byte*)TensorMemory.Floats(buffer);
        var left = Tokens * Width * sizeof(float);
        for (long at = 0; at < left; at += Piece)
        {
            stream.Write(new ReadOnlySpan<byte>(data + at, (int)Math.Min(Piece, left - at)));
            if (OnDisk)
                MappedPages.Drop(data + at, Math.Min(Piece, left - at));
        }
    }

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    public void Load(Stream stream)
    {
        var data = (byte*)TensorMemory.Floats(buffer);
        var left = Tokens * Width * sizeof(float);
        for (long at = 0; at < left; at += Piece)
        {
            stream.ReadExactly(new Span<byte>(data + at, (int)Math.Min(Piece, left - at)));
            if (OnDisk)
                MappedPages.Drop(data + at, Math.Min(Piece, left - at));
        }
    }

    public void Dispose()
    {
        buffer.Dispose();
        if (file is not null)
            File.Delete(file);
    }
}
