using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// One safetensors file, mapped into memory: nothing is read before it is touched. Pointers are valid until
/// <see cref="Dispose"/>. Thread-safe for reading.
/// </summary>
public sealed unsafe partial class SafetensorsFile : IDisposable
{
    private const int PrefixLength = 8;
    private readonly MemoryMappedFile map;
    private readonly MemoryMappedViewAccessor view;
    private readonly SafetensorsHeader header;
    private byte* start;

    private SafetensorsFile(string path, MemoryMappedFile map, MemoryMappedViewAccessor view, byte* start, SafetensorsHeader header)
    {
        Path = path;
        this.map = map;
        this.view = view;
        this.start = start;
        this.header = header;
    }

    /// <summary>Full path.</summary>
    public string Path { get; }

    public IReadOnlyDictionary<string, TensorEntry> Tensors => header.Tensors;

    /// <summary>The <c>__metadata__</c> entry; empty where there is none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => header.Metadata;

    /// <summary>Maps a file and checks its header against its size.</summary>
    /// <exception cref="AwqException">The file is missing, unreadable, truncated or malformed.</exception>
    public static SafetensorsFile Open(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        FileStream? stream = null;
        MemoryMappedFile? map = null;
        MemoryMappedViewAccessor? view = null;
        byte* start = null;
        try
        {
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            var length = stream.Length;
            if (length < PrefixLength + 2)
                throw Truncated(path, $"it has {length} bytes");
            map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            view = map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
            start += view.PointerOffset;
            var headerLength = BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(start, PrefixLength));
            if (headerLength > SafetensorsHeader.MaxByteLength)
            {
                throw SafetensorsHeader.Invalid("SafetensorsHeaderTooLarge", path,
                    $"it announces a header of {headerLength} bytes, and the format allows {SafetensorsHeader.MaxByteLength}");
            }
            if (headerLength > (ulong)(length - PrefixLength))
                throw Truncated(path, $"its header should have {headerLength} bytes, and only {length - PrefixLength} follow");
            var dataStart = PrefixLength + (long)headerLength;
            var header = SafetensorsHeader.Parse(new ReadOnlySpan<byte>(start + PrefixLength, (int)headerLength), path, dataStart, length - dataStart);
            return new SafetensorsFile(path, map, view, start, header);
        }
        catch (Exception e)
        {
            if (start is not null)
                view!.SafeMemoryMappedViewHandle.ReleasePointer();
            view?.Dispose();
            map?.Dispose();
            stream?.Dispose();
            throw FileErrors.OnRead(e, path);
        }
    }

    /// <summary>First byte of a tensor of this file.</summary>
    public byte* Pointer(TensorEntry entry)
    {
        ObjectDisposedException.ThrowIf(start is null, this);
        return start + entry.Offset;
    }

    /// <summary>
    /// Gives the pages of a tensor back to the system (Linux; elsewhere the system decides). They are read again when
    /// touched again.
    /// </summary>
    public void Release(TensorEntry entry) => Release(entry, 0, entry.ByteLength);

    /// <summary>The same for a piece of a tensor.</summary>
    /// <param name="entry">A tensor of this file.</param>
    /// <param name="offset">First byte of the piece within the tensor.</param>
    /// <param name="length">Bytes of the piece.</param>
    public void Release(TensorEntry entry, long offset, long length)
    {
        if (!OperatingSystem.IsLinux())
            return;
        var page = (nuint)Environment.SystemPageSize;
        // A page that the piece before left begun goes with this one.
        var first = ((nuint)Pointer(entry) + (nuint)offset + (offset == 0 ? page - 1 : 0)) / page * page;
        var end = ((nuint)Pointer(entry) + (nuint)(offset + length)) / page * page;
        // Advice only: a refusal costs memory and nothing else.
        if (end > first)
            _ = Advise((void*)first, end - first, DontNeed);
    }

    public void Dispose()
    {
        if (start is null)
            return;
        start = null;
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        map.Dispose();
    }

    private const int DontNeed = 4;

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);

    private static AwqException Truncated(string path, string what) => SafetensorsHeader.Invalid("SafetensorsTruncated", path, what + " and is cut short");
}
