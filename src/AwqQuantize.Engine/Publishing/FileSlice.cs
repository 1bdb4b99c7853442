using System.Net;

namespace AwqQuantize.Engine.Publishing;

/// <summary>A piece of a file as the body of a request; read as it is sent, so that memory does not depend on its size.</summary>
internal sealed class FileSlice(PublishedFile source, long offset, long length, Action<long> sent) : HttpContent
{
    private const int BufferSize = 1 << 20;

    protected override void SerializeToStream(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        using var file = source.Open();
        file.Position = offset;
        var buffer = new byte[BufferSize];
        for (var left = length; left > 0;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var read = file.Read(buffer, 0, (int)Math.Min(buffer.Length, left));
            if (read == 0)
                throw new EndOfStreamException($"'{source.Path}' became shorter while it was sent.");
            stream.Write(buffer, 0, read);
            left -= read;
            sent(read);
        }
    }

    // Requests are sent synchronously; HttpContent demands the other form as well.
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context)
    {
        SerializeToStream(stream, context, CancellationToken.None);
        return Task.CompletedTask;
    }

    protected override bool TryComputeLength(out long computed)
    {
        computed = length;
        return true;
    }
}
