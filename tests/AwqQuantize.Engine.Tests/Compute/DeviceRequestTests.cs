using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Tests.Compute;

public sealed class DeviceRequestTests
{
    [Theory]
    [InlineData("auto", true, new int[0])]
    [InlineData(" CPU ", false, new int[0])]
    [InlineData("cuda", false, new[] { 0 })]
    [InlineData("cuda:3", false, new[] { 3 })]
    [InlineData("cuda:0,cuda:1", false, new[] { 0, 1 })]
    [InlineData("cuda:2, CUDA:0", false, new[] { 2, 0 })]
    public void WordsThatMeanDevices(string text, bool isAuto, int[] gpus)
    {
        var request = DeviceRequest.Parse(text);
        Assert.Equal(isAuto, request.IsAuto);
        Assert.Equal(gpus, request.Gpus);
        Assert.Equal(request.ToString(), DeviceRequest.Parse(request.ToString()).ToString());
    }

    [Theory]
    [InlineData("gpu", "no device 'gpu'")]
    [InlineData("cuda:", "no device 'cuda:'")]
    [InlineData("cuda:-1", "no device 'cuda:-1'")]
    [InlineData("cuda:+1", "no device 'cuda:+1'")]
    [InlineData("cuda:1,cuda:1", "twice")]
    [InlineData("cuda,cuda:0", "twice")]
    [InlineData("cpu,cuda:0", "'cpu' stands alone")]
    [InlineData("cuda:0,auto", "'auto' stands alone")]
    [InlineData("cuda:0,", "no device ''")]
    [InlineData("", "no device ''")]
    public void OthersAreRefusedWithTheForms(string text, string expected)
    {
        var error = Assert.Throws<AwqException>(() => DeviceRequest.Parse(text));
        Assert.Equal("DeviceInvalid", error.Id);
        Assert.Contains(expected, error.Message);
        Assert.Contains("cuda:N", error.Remedy);
    }
}
