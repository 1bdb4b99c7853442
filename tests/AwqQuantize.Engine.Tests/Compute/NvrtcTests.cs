using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>The kernels as NVIDIA's own compiler sees them; it needs no GPU. <c>AWQ_TEST_NVRTC</c> names the library where the system does not find one.</summary>
public sealed class NvrtcTests
{
    [Theory]
    [InlineData("8.0")]
    [InlineData("9.0")]
    public void TheKernelsCompileForAGpu(string capability)
    {
        var code = Require().Compile(RoundingKernels.Source, Version.Parse(capability));
        Assert.Equal("\u007fELF"u8.ToArray(), code[..4]);
        var text = System.Text.Encoding.Latin1.GetString(code);
        Assert.All(RoundingKernels.Names, name => Assert.Contains(".text." + name, text));
    }

    [Fact]
    public void WhatDoesNotCompileIsSaidInTheCompilersWords()
    {
        var error = Assert.Throws<InvalidOperationException>(() => Require().Compile("__global__ void f() { g(); }", new Version(8, 0)));
        Assert.Contains("\"g\" is undefined", error.Message);
        Assert.Contains("1.0", Assert.Throws<InvalidOperationException>(() => Require().Compile(RoundingKernels.Source, new Version(1, 0))).Message);
    }

    [Fact]
    public void WhereThereIsNoneNothingIsFound()
    {
        Assert.Null(Nvrtc.Load("/nowhere/libnvrtc.so"));
        Assert.Null(Nvrtc.Load("libc.so.6"));
    }

    private static Nvrtc Require()
    {
        var found = Environment.GetEnvironmentVariable("AWQ_TEST_NVRTC") is { Length: > 0 } named ? Nvrtc.Load(named) : Nvrtc.Find(TorchRuntime.Library.Folder);
        if (found is null)
            Assert.Skip("NVRTC is not there (AWQ_TEST_NVRTC names it)");
        return found;
    }
}
