using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Tests.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Every tiny model against the outputs of transformers that lie beside it.</summary>
public sealed class ParityTests
{
    /// <summary>Families without a description yet. This list only shrinks.</summary>
    private static readonly string[] NotYet = [];

    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    [Theory]
    [MemberData(nameof(Cases))]
    public void HiddenStatesLogitsAndLossAreThoseOfTransformers(string name)
    {
        if (NotYet.Contains(name))
            Assert.Skip($"{name} has no description yet");
        Compare(name, ComputeDevice.Host);
    }

    /// <summary>The same on the first GPU, in float32 as well.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void OnAGpuTheyAreToo(string name) => Compare(name, Gpu.Require());

    private static void Compare(string name, ComputeDevice device)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name, device);
        Assert.True(tiny.Graph.UnreadConfigKeys.Count == 0, $"nothing reads the config keys {string.Join(", ", tiny.Graph.UnreadConfigKeys)}");
        var ids = tiny.Ids;
        var hidden = tiny.Model.Embed(ids);
        AssertClose(tiny.Float("hidden_states.0"), hidden.cpu(), "the embedding");
        for (var i = 0; i < tiny.Graph.LayerCount; i++)
        {
            using var layer = tiny.Model.LoadLayer(i);
            var before = hidden.clone();
            var next = layer.Forward(hidden);
            Assert.True(before.equal(hidden).all().item<bool>(), $"layer {i} changed its input");
            hidden = next;
            AssertClose(tiny.Float($"hidden_states.{i + 1}"), hidden.cpu(), $"layer {i}");
        }
        var logits = tiny.Model.Logits(hidden).cpu();
        var expected = tiny.Float("logits");
        var worst = logits.sub(expected).abs().max().item<float>();
        Assert.True(worst < 1e-3, $"logits differ by {worst}");
        var predictions = logits.narrow(1, 0, ids.shape[1] - 1).reshape(-1, logits.shape[2]);
        var loss = nn.functional.cross_entropy(predictions, ids.narrow(1, 1, ids.shape[1] - 1).reshape(-1)).item<float>();
        Assert.Equal(tiny.Float("loss").item<float>(), loss, 1e-4f);
    }

    /// <summary>Relative to the layer's largest hidden state, as the references' README measures it.</summary>
    private static void AssertClose(Tensor expected, Tensor actual, string where)
    {
        Assert.Equal(expected.shape, actual.shape);
        var worst = actual.sub(expected).abs().max().item<float>() / expected.abs().max().item<float>();
        Assert.True(worst < 1e-4, $"{where} differs by {worst} of its largest value");
    }
}
