using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Tests.Publishing;

/// <summary>Gives out the bearer tokens that docker-registry accepts: signed ones that live for seconds.</summary>
internal sealed class TokenServer : IDisposable
{
    public const string RefreshToken = "identity-token-of-nobody";

    private readonly HttpListener listener = new();
    private readonly RSA key = RSA.Create(2048);
    private readonly X509Certificate2 certificate;
    private readonly string address;

    public TokenServer(TemporaryFolder folder)
    {
        var request = new CertificateRequest("CN=test", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        folder.Write("root.pem", certificate.ExportCertificatePem());
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        address = $"http://127.0.0.1:{((IPEndPoint)probe.LocalEndpoint).Port}/";
        probe.Stop();
        listener.Prefixes.Add(address);
        listener.Start();
        Configuration = $"auth:\n  token:\n    realm: {address}token\n    service: test-registry\n    issuer: test-issuer\n    rootcertbundle: {folder.File("root.pem")}\n";
        new Thread(Serve) { IsBackground = true }.Start();
    }

    /// <summary>The registry's <c>auth</c> section.</summary>
    public string Configuration { get; }

    /// <summary>Tokens given out.</summary>
    public int Given { get; private set; }

    public void Dispose()
    {
        listener.Stop();
        listener.Close();
        certificate.Dispose();
        key.Dispose();
    }

    private void Serve()
    {
        while (listener.IsListening)
        {
            try
            {
                var context = listener.GetContext();
                var body = new StreamReader(context.Request.InputStream).ReadToEnd();
                var form = context.Request.HttpMethod == "POST" ? Fields(body) : Fields(context.Request.Url!.Query.TrimStart('?'));
                var basic = "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{LocalRegistry.User}:{LocalRegistry.Password}"));
                var known = context.Request.HttpMethod == "POST"
                    ? form.GetValueOrDefault("refresh_token") == RefreshToken && form["grant_type"] == "refresh_token"
                    : context.Request.Headers["Authorization"] == basic;
                if (!known || form["service"] != "test-registry")
                {
                    context.Response.StatusCode = 401;
                    context.Response.Close(Encoding.UTF8.GetBytes($$"""{"errors":[{"code":"UNAUTHORIZED","message":"no: {{context.Request.Headers["Authorization"]}} {{form.GetValueOrDefault("refresh_token")}}"}]}"""), true);
                    continue;
                }
                Given++;
                context.Response.Close(Encoding.UTF8.GetBytes(new JsonObject { ["access_token"] = Token(form["scope"]) }.ToJsonString()), true);
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }
        }
    }

    private static Dictionary<string, string> Fields(string text) => text.Split('&').Select(p => p.Split('=', 2))
        .ToDictionary(p => p[0], p => WebUtility.UrlDecode(p.ElementAtOrDefault(1) ?? ""));

    private string Token(string scope)
    {
        var parts = scope.Split(':');
        var header = new JsonObject { ["typ"] = "JWT", ["alg"] = "RS256", ["x5c"] = new JsonArray(Convert.ToBase64String(certificate.RawData)) };
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var payload = new JsonObject
        {
            ["iss"] = "test-issuer", ["sub"] = LocalRegistry.User, ["aud"] = "test-registry", ["exp"] = now + 3, ["nbf"] = now - 10, ["iat"] = now, ["jti"] = Guid.NewGuid().ToString("N"),
            ["access"] = new JsonArray(new JsonObject
            {
                ["type"] = parts[0], ["name"] = string.Join(':', parts[1..^1]), ["actions"] = new JsonArray([.. parts[^1].Split(',').Select(a => (JsonNode)a)]),
            }),
        };
        var text = $"{Encode(Encoding.UTF8.GetBytes(header.ToJsonString()))}.{Encode(Encoding.UTF8.GetBytes(payload.ToJsonString()))}";
        return $"{text}.{Encode(key.SignData(Encoding.ASCII.GetBytes(text), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1))}";
    }

    private static string Encode(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_');
}
