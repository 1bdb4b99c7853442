using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>Writes one safetensors file: under a temporary name, flushed to the disk, then renamed.</summary>
internal static partial class SafetensorsWriter
{
    private const int Alignment = 8;

    // So much is gathered before the disk is told to begin with it.
    private const long Portion = 32L << 20;

    /// <param name="path">The file's final name; an existing file is replaced.</param>
    /// <param name="payloads">Stored with larger elements first, otherwise in this order: so every tensor is aligned.</param>
    /// <param name="written">Told the bytes of each tensor after it was written.</param>
    /// <exception cref="AwqException">The file cannot be written, or a payload refuses.</exception>
    public static void Write(string path, IReadOnlyList<TensorPayload> payloads, IReadOnlyDictionary<string, string> metadata,
        Action<long>? written = null, CancellationToken cancellation = default)
    {
        var ordered = payloads.OrderByDescending(p => p.Dtype.BitSize()).ToList();
        var header = Header(ordered, metadata);
        var temporary = path + ".tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
            {
                var prefix = new byte[8];
                BinaryPrimitives.WriteUInt64LittleEndian(prefix, (ulong)header.Length);
                stream.Write(prefix);
                stream.Write(header);
                var expected = stream.Position;
                var begun = 0L;
                foreach (var payload in ordered)
                {
                    cancellation.ThrowIfCancellationRequested();
                    payload.Write(stream);
                    expected += payload.ByteLength;
                    if (stream.Position != expected)
                        throw new InvalidOperationException($"Tensor '{payload.Name}' wrote {stream.Position - expected + payload.ByteLength} bytes in place of {payload.ByteLength}.");
                    if (expected - begun >= Portion)
                        BeginFlush(stream, ref begun);
                    written?.Invoke(payload.ByteLength);
                }
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e)
        {
            TryDelete(temporary);
            if (FileErrors.OnWrite(e, path) is var error && !ReferenceEquals(error, e))
                throw error;
            throw;
        }
    }

    private static byte[] Header(IReadOnlyList<TensorPayload> payloads, IReadOnlyDictionary<string, string> metadata)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            if (metadata.Count > 0)
            {
                writer.WriteStartObject("__metadata__");
                foreach (var (key, value) in metadata.OrderBy(p => p.Key, StringComparer.Ordinal))
                    writer.WriteString(key, value);
                writer.WriteEndObject();
            }
            var names = new HashSet<string>(StringComparer.Ordinal);
            long offset = 0;
            foreach (var payload in payloads)
            {
                if (!names.Add(payload.Name))
                    throw new ArgumentException($"Tensor '{payload.Name}' is given twice.", nameof(payloads));
                writer.WriteStartObject(payload.Name);
                writer.WriteString("dtype", payload.Dtype.ToString());
                writer.WriteStartArray("shape");
                foreach (var dimension in payload.Shape)
                    writer.WriteNumberValue(dimension);
                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(offset);
                writer.WriteNumberValue(offset += payload.ByteLength);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        while (buffer.Length % Alignment != 0)
            buffer.WriteByte((byte)' ');
        return buffer.ToArray();
    }

    /// <summary>Lets the disk work while the next tensors are made, so that the flush at the end finds little left.</summary>
    private static void BeginFlush(FileStream stream, ref long begun)
    {
        if (!OperatingSystem.IsLinux())
            return;
        stream.Flush();
        // Advice only: what it does not begin, the flush at the end does.
        _ = sync_file_range(stream.SafeFileHandle, begun, stream.Position - begun, BeginWriting);
        begun = stream.Position;
    }

    private const uint BeginWriting = 2; // SYNC_FILE_RANGE_WRITE

    [LibraryImport("libc")]
    private static partial int sync_file_range(SafeFileHandle file, long offset, long bytes, uint flags);

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The error that brought us here is the one to tell.
        }
    }
}
