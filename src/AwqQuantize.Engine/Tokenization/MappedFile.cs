using System.IO.MemoryMappedFiles;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>A file's bytes in place: a tokenizer is read once, front to back, and copying it first costs as much as reading it.</summary>
internal static class MappedFile
{
    public delegate T Reading<T>(ReadOnlySpan<byte> file);

    /// <summary>Gives the file's bytes to <paramref name="read"/>; they are gone when it returns.</summary>
    public static unsafe T Read<T>(string path, Reading<T> read)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        int length = checked((int)stream.Length);
        if (length == 0)
        {
            return read([]);
        }

        using var file = MemoryMappedFile.CreateFromFile(stream, null, length, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        using MemoryMappedViewAccessor view = file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        try
        {
            return read(new ReadOnlySpan<byte>(start + view.PointerOffset, length));
        }
        finally
        {
            view.SafeMemoryMappedViewHandle.ReleasePointer();
        }
    }
}
