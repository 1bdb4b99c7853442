using System.Net;
using System.Net.Sockets;
using System.Text;

namespace AwqQuantize.Tests.Commands;

/// <summary>The cmdlet; the protocols are tested with the engine.</summary>
public sealed class PublishAwqModelTests
{
    private const string Token = "$token = [securestring]::new(); foreach ($c in 'hf_secret'.ToCharArray()) { $token.AppendChar($c) }; ";

    [Fact]
    public void WhatIfSendsNothing()
    {
        using var session = new ModuleSession();
        Assert.Empty(session.Run("Publish-AwqModel $sample me/model -Endpoint http://127.0.0.1:1 -WhatIf", ("sample", StagedModule.Sample)).ThrowOnError().Output);
    }

    [Theory]
    [InlineData("Publish-AwqModel -LiteralPath $sample me/model -WhatIf")]
    [InlineData("[pscustomobject]@{ PSPath = $sample } | Publish-AwqModel -Repository me/model -WhatIf")]
    public void AFolderCanBeNamedAsElsewhere(string command)
    {
        using var session = new ModuleSession();
        Assert.Empty(session.Run(command, ("sample", StagedModule.Sample)).ThrowOnError().Output);
    }

    [Fact]
    public void ErrorsHaveIdentifiersAndNameTheUsersPath()
    {
        using var session = new ModuleSession();
        Assert.Equal("RegistryReferenceInvalid", session.Run("Publish-AwqModel $sample -Reference 'no such: name'", ("sample", StagedModule.Sample)).ErrorId);
        var missing = session.Run(Token + "Publish-AwqModel /nowhere me/model -Token $token -Endpoint http://127.0.0.1:1");
        Assert.Equal("/nowhere", Assert.Single(missing.Errors).TargetObject);
        Assert.DoesNotContain("System.", missing.ErrorId);
    }

    [Fact]
    public void ARefusedTokenIsToldWithoutTheToken()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var endpoint = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}";
        var serving = Task.Run(async () =>
        {
            while (true)
            {
                using var client = await listener.AcceptTcpClientAsync();
                var stream = client.GetStream();
                _ = await stream.ReadAsync(new byte[65536]);
                await stream.WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            }
        }, TestContext.Current.CancellationToken);
        using var session = new ModuleSession();
        var run = session.Run(Token + "Publish-AwqModel $sample me/model -Token $token -Endpoint $endpoint", ("sample", StagedModule.Sample), ("endpoint", endpoint));
        Assert.Equal("HubTokenRefused", run.ErrorId);
        Assert.DoesNotContain("hf_secret", run.Errors[0].Exception.ToString());
        listener.Stop();
        Assert.False(serving.IsCompletedSuccessfully);
    }
}
