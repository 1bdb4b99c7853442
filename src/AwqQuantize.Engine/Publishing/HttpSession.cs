using System.Net;
using System.Net.Http.Headers;

namespace AwqQuantize.Engine.Publishing;

/// <summary>
/// Sends requests synchronously, again after a pause where that can help: after broken connections, time-outs, and the
/// answers 408, 429, 500, 502, 503 and 504. A transfer that stands still for two minutes counts as broken.
/// </summary>
internal sealed class HttpSession : IDisposable
{
    private const int Attempts = 6;
    private const int MaxBody = 64 << 20;
    private static readonly TimeSpan Stall = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(2);

    private readonly HttpClient client;
    private readonly TimeSpan firstPause;

    /// <param name="firstPause">Pause after the first failure; it doubles with each further one.</param>
    public HttpSession(TimeSpan firstPause)
    {
        this.firstPause = firstPause;
        client = new HttpClient(new SocketsHttpHandler
        {
            ConnectTimeout = TimeSpan.FromSeconds(30),
            AutomaticDecompression = DecompressionMethods.All,
            // A stale connection is the usual reason for a first failure after a long hash.
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
        })
        { Timeout = Timeout.InfiniteTimeSpan };
        client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("AwqQuantize", typeof(HttpSession).Assembly.GetName().Version!.ToString(3)));
    }

    /// <summary>Sends a request, and again where that can help.</summary>
    /// <param name="request">Makes the request anew for each attempt; it calls its argument whenever bytes have moved.</param>
    /// <returns>The last answer, whatever its status.</returns>
    /// <exception cref="AwqException"><c>ServerUnreachable</c>: there was no answer at all.</exception>
    public HttpAnswer Send(Func<Action, HttpRequestMessage> request, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            TimeSpan? asked = null;
            try
            {
                var answer = SendOnce(request, cancellation);
                if (!IsTemporary(answer.Status) || attempt == Attempts)
                    return answer;
                asked = answer.Headers.RetryAfter is { } after ? after.Delta ?? after.Date - DateTimeOffset.UtcNow : null;
            }
            catch (Exception e) when (!cancellation.IsCancellationRequested && IsBroken(e))
            {
                if (attempt == Attempts)
                    throw Unreachable(request, e);
            }
            Pause(asked ?? firstPause * Math.Pow(2, attempt - 1) * (0.8 + 0.4 * Random.Shared.NextDouble()), cancellation);
        }
    }

    /// <summary>Sends a request one time.</summary>
    /// <exception cref="Exception">See <see cref="IsBroken"/>.</exception>
    public HttpAnswer SendOnce(Func<Action, HttpRequestMessage> request, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        stall.CancelAfter(Stall);
        using var message = request(() => stall.CancelAfter(Stall));
        using var response = client.Send(message, HttpCompletionOption.ResponseHeadersRead, stall.Token);
        using var body = response.Content.ReadAsStream(stall.Token);
        using var buffer = new MemoryStream();
        var piece = new byte[1 << 16];
        for (int read; (read = body.Read(piece)) > 0;)
        {
            stall.Token.ThrowIfCancellationRequested();
            stall.CancelAfter(Stall);
            if (buffer.Length + read > MaxBody)
                throw new HttpRequestException($"The answer of {message.RequestUri?.Host} is larger than {MaxBody} bytes.");
            buffer.Write(piece, 0, read);
        }
        return new HttpAnswer((int)response.StatusCode, response.Headers, response.Content.Headers, buffer.ToArray());
    }

    /// <summary>Whether an attempt failed in a way that another may not.</summary>
    public static bool IsBroken(Exception error) => error is HttpRequestException or OperationCanceledException or IOException and not FileNotFoundException and not EndOfStreamException;

    public static bool IsTemporary(int status) => status is 408 or 429 or 500 or 502 or 503 or 504;

    public void Pause(TimeSpan pause, CancellationToken cancellation)
    {
        if (pause > LongestPause)
            pause = LongestPause;
        if (pause > TimeSpan.Zero)
            cancellation.WaitHandle.WaitOne(pause);
        cancellation.ThrowIfCancellationRequested();
    }

    public void Dispose() => client.Dispose();

    public static AwqException Unreachable(Func<Action, HttpRequestMessage> request, Exception error)
    {
        using var message = request(() => { });
        return new AwqException("ServerUnreachable", AwqErrorKind.ResourceUnavailable,
            $"{message.RequestUri?.GetLeftPart(UriPartial.Authority)} gave no answer after {Attempts} attempts: {error.Message.Split('\n')[0]}",
            "Check the network, a proxy (HTTPS_PROXY) and the address; run the command again: what was sent is not sent twice.", error);
    }
}
