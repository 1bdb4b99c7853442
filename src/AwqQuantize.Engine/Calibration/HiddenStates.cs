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
    // Elements that are saved and loaded at once.
    private const long Piece = 1 << 24;

    private string? file;
    private Tensor buffer;
    private readonly ComputeDevice? user;
    private IDisposable? reserved;
    private IDisposable? pinned;

    /// <param name="rows">Calibration rows.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="width">Channels of the residual stream.</param>
    /// <param name="file">Where to keep them if not in memory; deleted on disposal.</param>
    /// <param name="device">Whose memory they are kept in; null for the host's. A file is the host's.</param>
    /// <param name="user">Where they are brought to, row by row, while they are in host memory; null for nowhere.</param>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: they do not fit.</exception>
    public HiddenStates(int rows, int length, int width, string? file = null, ComputeDevice? device = null, ComputeDevice? user = null)
    {
        (Rows, Length, Width, this.file, this.user) = (rows, length, width, file, user ?? device);
        var count = (long)rows * length * width;
        OnDevice = file is null && device is { IsHost: false };
        reserved = OnDevice ? device!.Reserve(count * sizeof(float)) : null;
        // It outlives the dispose scope that it happens to be made in.
        buffer = (file is null ? empty(count, device: OnDevice ? device!.Torch : CPU) : from_file(file, true, count, ScalarType.Float32)).DetachFromDisposeScope();
        pinned = OnDevice || OnDisk ? null : this.user?.Pin(buffer);
    }

    /// <summary>Makes room for them: in the device's memory where they are to be there, else in host memory, else in a file.</summary>
    /// <param name="onDevice">Whether the device has room for them beside a layer.</param>
    /// <param name="file">Where host memory has none.</param>
    /// <param name="tell">Told where the device has less than it said.</param>
    public static HiddenStates Place(int rows, int length, int width, ComputeDevice device, bool onDevice, string? file, Action<string> tell)
    {
        if (onDevice)
            try
            {
                return new HiddenStates(rows, length, width, device: device);
            }
            catch (Exception e) when (OutOfMemory.Is(e))
            {
                tell("Hidden states stay in host memory: the device has less than it said.");
            }
        return new HiddenStates(rows, length, width, file, user: device);
    }

    public int Rows { get; }

    /// <summary>Tokens per row.</summary>
    public int Length { get; private set; }

    public int Width { get; }

    /// <summary>All tokens of all rows.</summary>
    public long Tokens => (long)Rows * Length;

    public bool OnDisk => file is not null;

    /// <summary>Whether they are in a device's memory.</summary>
    public bool OnDevice { get; private set; }

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
        long kept = (long)length * Width, old = (long)Length * Width;
        if (OnDevice)
        {
            using var scope = NewDisposeScope();
            for (long row = 1; row < Rows; row++)
                buffer.narrow(0, row * kept, kept).copy_(buffer.narrow(0, row * old, kept).clone());
            Length = length;
            return;
        }
        var data = TensorMemory.Floats(buffer);
        for (long row = 1; row < Rows; row++)
            new ReadOnlySpan<float>(data + row * old, checked((int)kept)).CopyTo(new Span<float>(data + row * kept, (int)kept));
        Length = length;
    }

    /// <summary>Moves the states from a device's memory to the host's.</summary>
    public void MoveToHost()
    {
        if (!OnDevice)
            return;
        var host = empty(buffer.numel()).DetachFromDisposeScope();
        host.copy_(buffer);
        buffer.Dispose();
        (buffer, OnDevice) = (host, false);
        pinned = user?.Pin(host);
        reserved?.Dispose();
        reserved = null;
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
        Unpin();
        buffer.Dispose();
        (buffer, file, OnDevice) = (mapped, path, false);
        reserved?.Dispose();
        reserved = null;
        Release(0, Rows);
    }

    /// <summary>A copy in host memory, which stays as it is.</summary>
    public HiddenStates Snapshot()
    {
        var copy = new HiddenStates(Rows, Length, Width);
        using var states = buffer.narrow(0, 0, Tokens * Width);
        copy.buffer.copy_(states);
        return copy;
    }

    /// <summary>Writes the states where a later process can take them up.</summary>
    public void Save(Stream stream)
    {
        for (long at = 0; at < Tokens * Width; at += Piece)
        {
            using var scope = NewDisposeScope();
            var part = ComputeDevice.Download(buffer.narrow(0, at, Math.Min(Piece, Tokens * Width - at)));
            stream.Write(new ReadOnlySpan<byte>(TensorMemory.Floats(part), checked((int)part.numel() * sizeof(float))));
            if (OnDisk)
                MappedPages.Drop((byte*)TensorMemory.Floats(buffer) + at * sizeof(float), part.numel() * sizeof(float));
        }
    }

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    public void Load(Stream stream)
    {
        for (long at = 0; at < Tokens * Width; at += Piece)
        {
            using var scope = NewDisposeScope();
            var part = empty(Math.Min(Piece, Tokens * Width - at));
            stream.ReadExactly(new Span<byte>(TensorMemory.Floats(part), checked((int)part.numel() * sizeof(float))));
            buffer.narrow(0, at, part.numel()).copy_(part);
            if (OnDisk)
                MappedPages.Drop((byte*)TensorMemory.Floats(buffer) + at * sizeof(float), part.numel() * sizeof(float));
        }
    }

    public void Dispose()
    {
        Unpin();
        buffer.Dispose();
        reserved?.Dispose();
        if (file is not null)
            File.Delete(file);
    }

    // What is still on its way from here has to arrive first.
    private void Unpin()
    {
        if (pinned is null)
            return;
        user!.Synchronize();
        pinned.Dispose();
        pinned = null;
    }
}
