using System.Text;
using AwqQuantize.Engine.Publishing;

namespace AwqQuantize.Engine.Tests.Publishing;

public sealed class RegistryCredentialsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private RegistryCredentials? Find(string host) =>
        RegistryCredentials.Find(host, name => name == "DOCKER_CONFIG" ? folder.Path : null, folder.File("home"));

    private static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));

    [Fact]
    public void DockersLoginIsFound()
    {
        folder.Write("config.json", $$$$"""{"auths":{"a.example":{"auth":"{{{{Base64("me:pa:ss")}}}}"},"https://index.docker.io/v1/":{"auth":"{{{{Base64("hub:x")}}}}"},"t.example":{"auth":"{{{{Base64("0:")}}}}","identitytoken":"idt"},"empty.example":{}}}""");
        Assert.Equal(("me", "pa:ss"), Reveal(Find("a.example")));
        Assert.Equal(("hub", "x"), Reveal(Find("docker.io")));
        Assert.Equal(("", "idt"), Reveal(Find("t.example")));
        Assert.Null(Find("empty.example"));
        Assert.Null(Find("b.example"));
    }

    [Fact]
    public void PodmansLoginIsFound()
    {
        folder.Write("run/containers/auth.json", $$$$"""{"auths":{"p.example":{"auth":"{{{{Base64("pod:man")}}}}"}}}""");
        Assert.Equal(("pod", "man"), Reveal(RegistryCredentials.Find("p.example", name => name == "XDG_RUNTIME_DIR" ? folder.File("run") : null, folder.File("home"))));
        folder.Write("named.json", $$$$"""{"auths":{"p.example":{"auth":"{{{{Base64("other:one")}}}}"}}}""");
        Assert.Equal(("other", "one"), Reveal(RegistryCredentials.Find("p.example", name => name == "REGISTRY_AUTH_FILE" ? folder.File("named.json") : null, folder.File("home"))));
    }

    [Theory]
    [InlineData("no base64 $$ secret")]
    [InlineData("c2VjcmV0")]
    public void AMalformedEntryIsAnErrorThatDoesNotQuoteIt(string auth)
    {
        folder.Write("config.json", $$$$"""{"auths":{"a.example":{"auth":"{{{{auth}}}}"}}}""");
        var error = Assert.Throws<AwqException>(() => Find("a.example"));
        Assert.Equal("RegistryCredentialsInvalid", error.Id);
        Assert.DoesNotContain("secret", error.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(auth, error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void HelpersAreAskedThroughPipes()
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("The helper of this test is a shell script.");
        var helper = folder.Write("bin/docker-credential-awqtest", $$"""
            #!/bin/sh
            read host
            echo "$@ $host" >> '{{folder.File("asked")}}'
            case "$host" in
              a.example) echo '{"ServerURL":"a.example","Username":"me","Secret":"from-helper"}' ;;
              t.example) echo '{"ServerURL":"t.example","Username":"<token>","Secret":"idt"}' ;;
              bad.example) echo 'no json from-helper' ;;
              *) echo 'credentials not found in native keychain'; exit 1 ;;
            esac
            """);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(helper, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Environment.SetEnvironmentVariable("PATH", folder.File("bin") + ":" + Environment.GetEnvironmentVariable("PATH"));
        folder.Write("config.json", """{"credsStore":"awqtest","credHelpers":{"t.example":"awqtest"}}""");
        Assert.Equal(("me", "from-helper"), Reveal(Find("a.example")));
        Assert.Equal(("", "idt"), Reveal(Find("t.example")));
        Assert.Null(Find("b.example"));
        Assert.Equal("get a.example", File.ReadAllLines(folder.File("asked"))[0]);
        var error = Assert.Throws<AwqException>(() => Find("bad.example"));
        Assert.Equal("RegistryHelperFailed", error.Id);
        Assert.DoesNotContain("from-helper", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("no-such-helper")]
    [InlineData("../../bin/sh")]
    public void AHelperThatIsNotThereIsNamed(string name)
    {
        folder.Write("config.json", $$"""{"credsStore":"{{name}}"}""");
        var error = Assert.Throws<AwqException>(() => Find("a.example"));
        Assert.Equal("RegistryHelperFailed", error.Id);
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ChallengesAreTakenApart()
    {
        var parameters = RegistryClient.Parameters("realm=\"https://auth.example/token?a=b\",service=\"reg\", scope=\"repository:a/b:pull,push\",error=invalid");
        Assert.Equal("https://auth.example/token?a=b", parameters["realm"]);
        Assert.Equal("repository:a/b:pull,push", parameters["scope"]);
        Assert.Equal("reg", parameters["service"]);
        Assert.Equal("invalid", parameters["error"]);
    }

    private static (string, string)? Reveal(RegistryCredentials? credentials) => credentials is null ? null : (credentials.User, credentials.Password.Reveal());
}
