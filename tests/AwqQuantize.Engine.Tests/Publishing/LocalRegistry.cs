using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace AwqQuantize.Engine.Tests.Publishing;

/// <summary>Debian's docker-registry on this machine, with its storage in a temporary folder.</summary>
internal sealed class LocalRegistry : IDisposable
{
    public const string User = "tester";
    public const string Password = "pa:ss_w0rd-of-nobody";

    // bcrypt of the password above, at the least cost.
    private const string PasswordHash = "$2b$04$j24TOWgWxSoaPrM95LszxOC4LWQRNQczFx2g5bpq1uGdi9uXANF9q";

    private readonly TemporaryFolder folder;
    private readonly string authentication;
    private readonly int port = FreePort();
    private readonly List<string> log = [];
    private Process? process;

    /// <param name="authentication">The <c>auth</c> section of its configuration, indented; empty for none.</param>
    public LocalRegistry(TemporaryFolder folder, string authentication = "")
    {
        if (Program is null)
            Assert.Skip("docker-registry is not installed (Debian: apt-get install docker-registry).");
        this.folder = folder;
        this.authentication = authentication;
        Start("one secret");
    }

    public string Host => $"127.0.0.1:{port}";

    /// <summary>Configuration of basic authentication for <see cref="User"/>.</summary>
    public static string Basic(TemporaryFolder folder)
    {
        folder.Write("htpasswd", $"{User}:{PasswordHash}\n");
        return $"auth:\n  htpasswd:\n    realm: test\n    path: {folder.File("htpasswd")}\n";
    }

    /// <summary>Its log so far.</summary>
    public string[] Log
    {
        get
        {
            lock (log)
                return [.. log];
        }
    }

    /// <summary>Kills it and starts it again over the same storage; with another secret it forgets running uploads.</summary>
    public void Restart(string secret = "one secret")
    {
        Stop();
        Start(secret);
    }

    public void Dispose() => Stop();

    private static string? Program { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .Append("/usr/bin").Select(p => Path.Combine(p, "docker-registry")).FirstOrDefault(File.Exists);

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private void Start(string secret)
    {
        var config = folder.Write("registry.yml", $"""
            version: 0.1
            log:
              accesslog:
                disabled: false
            storage:
              filesystem:
                rootdirectory: {folder.File("storage")}
            http:
              addr: {Host}
              secret: {secret}
            {authentication}
            """);
        process = new Process
        {
            StartInfo = new ProcessStartInfo(Program!, ["serve", config]) { RedirectStandardOutput = true, RedirectStandardError = true },
        };
        // It takes each of these for a setting of its own, podman's REGISTRY_AUTH_FILE, too.
        foreach (var name in process.StartInfo.Environment.Keys.Where(k => k.StartsWith("REGISTRY_", StringComparison.Ordinal)).ToList())
            process.StartInfo.Environment.Remove(name);
        process.OutputDataReceived += Keep;
        process.ErrorDataReceived += Keep;
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        for (var i = 0; i < 200; i++)
        {
            try
            {
                using var probe = new TcpClient();
                probe.Connect(IPAddress.Loopback, port);
                return;
            }
            catch (SocketException)
            {
                Thread.Sleep(50);
            }
        }
        Assert.Fail("docker-registry did not start:\n" + string.Join('\n', Log));
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (log)
            log.Add(line.Data ?? "");
    }

    private void Stop()
    {
        if (process is null)
            return;
        process.Kill();
        process.WaitForExit();
        process.Dispose();
        process = null;
    }
}
