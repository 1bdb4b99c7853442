using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Tests.House;

/// <summary>Only Compute/ knows kinds of devices: elsewhere a device is asked what it can do, never what it is.</summary>
public sealed partial class DeviceTests
{
    [Fact]
    public void NobodyElseAsksWhetherItIsCuda()
    {
        var engine = Path.Combine(Repository.Root, "src", "AwqQuantize.Engine");
        foreach (var file in Directory.GetFiles(engine, "*.cs", SearchOption.AllDirectories).Where(f => !f.StartsWith(Path.Combine(engine, "Compute"), StringComparison.Ordinal)))
            Assert.False(Code(file).Any(Question().IsMatch), $"{Path.GetRelativePath(engine, file)} asks what kind of device something is on");
    }

    [Theory]
    [InlineData("if (tensor.device_type != DeviceType.CPU)", true)]
    [InlineData("if (device.type == x)", true)]
    [InlineData("torch.cuda.is_available()", true)]
    [InlineData("if (name == \"cuda\")", true)]
    [InlineData("if (layer.Compute.IsHost)", false)]
    [InlineData("var x = empty(3, device: CPU);", false)]
    public void TheQuestionIsRecognised(string line, bool asks) => Assert.Equal(asks, Question().IsMatch(line));

    private static IEnumerable<string> Code(string file) => File.ReadLines(file).Where(l => !l.TrimStart().StartsWith("//", StringComparison.Ordinal));

    [GeneratedRegex(@"device_type|DeviceType\.|\bdevice\.type\b|\bcuda\.|is_cuda|""cuda|StartsWith\(""cuda")]
    private static partial Regex Question();
}
