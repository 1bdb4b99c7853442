using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Calibration;

public sealed class HiddenStatesTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>Attention is causal: shortening after a layer gives what shorter rows would have given.</summary>
    [Theory]
    [InlineData("llama")]
    [InlineData("mistral")]
    [InlineData("bloom")]
    [InlineData("qwen3_next")]
    public void TruncatingIsTheSameAsHavingStartedShorter(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        using var layer = tiny.Model.LoadLayer(0);
        var entered = tiny.Model.Embed(tiny.Ids);
        var rows = (int)entered.shape[0];
        using var states = new HiddenStates(rows, 64, (int)entered.shape[2]);
        states.Store(0, layer.Forward(entered));
        states.Truncate(32);
        var shorter = layer.Forward(entered.narrow(1, 0, 32).contiguous());
        Assert.Equal(32, states.Length);
        Assert.InRange((states.View(0, rows) - shorter).abs().max().item<float>(), 0, 1e-5f * shorter.abs().max().item<float>());
        Assert.True((states.View(1, 1) - states.View(0, 1)).abs().max().item<float>() > 0.01);
    }

    [Fact]
    public void KeepsItsContentWhenItMovesToAFileAndThroughAStream()
    {
        var values = randn([3, 5, 7], generator: new Generator(4));
        using var states = new HiddenStates(3, 5, 7);
        states.Store(0, values);
        var file = temporary.File("hidden");
        states.MoveTo(file);
        Assert.True(states.OnDisk && File.Exists(file));
        Assert.True(states.View(0, 3).equal(values).all().item<bool>());
        using var stream = new MemoryStream();
        states.Save(stream);
        Assert.Equal(3 * 5 * 7 * 4, stream.Length);
        stream.Position = 0;
        using var other = new HiddenStates(3, 5, 7);
        other.Load(stream);
        Assert.True(other.View(0, 3).equal(values).all().item<bool>());
        states.Dispose();
        Assert.False(File.Exists(file));
    }
}
