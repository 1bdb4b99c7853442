using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>What must hold for every family, with random weights in tensors of the published names and shapes.</summary>
public sealed class PublishedFamilyTests
{
    public static TheoryData<string> Cases => [.. PublishedFamilies.All.Keys];

    private static DecoderModel Open(string name) => RandomModel.Open(PublishedFamilies.All[name].Config, PublishedFamilies.All[name].Tensors);

    private static Tensor Ids(int last) => tensor(Enumerable.Range(0, 24).Select(i => (long)((i * i * 7 + 3 * i) % 50)).Append(last).ToArray()).view(1, 25);

    private static Tensor Run(DecoderModel model, Tensor ids, int? foldSeed = null)
    {
        var hidden = model.Embed(ids);
        for (var i = 0; i < model.Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            foreach (var (group, g) in layer.Graph.ScaleGroups.Select((group, g) => (group, g)))
            {
                if (foldSeed is not null)
                    FoldTests.Fold(layer.Weights, group, FoldTests.Scales(group.Channels, foldSeed.Value + 1000 * i + g));
            }
            hidden = layer.Forward(hidden);
        }
        return model.Logits(hidden);
    }

    /// <summary>The description claims exactly these tensors, and no position sees a later one.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void RunsOnPublishedTensorsAndIsCausal(string name)
    {
        using var scope = NewDisposeScope();
        using var model = Open(name);
        Assert.Equal(name.Split('-')[0], model.Graph.ModelType);
        Assert.Equal("", string.Join(", ", model.Graph.UnreadConfigKeys));
        var (one, other) = (Run(model, Ids(5)), Run(model, Ids(41)));
        Assert.True(one.isfinite().all().item<bool>());
        Assert.True(one.std().item<float>() > 1e-3);
        Assert.Equal(0f, one.narrow(1, 0, 24).sub(other.narrow(1, 0, 24)).abs().max().item<float>(), 1e-4f);
        Assert.True(one.select(1, 24).sub(other.select(1, 24)).abs().max().item<float>() > 1e-3);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void AnyScalesOfTheDerivedGroupsLeaveTheLogitsAlone(string name)
    {
        using var scope = NewDisposeScope();
        using var model = Open(name);
        var (plain, folded) = (Run(model, Ids(5)), Run(model, Ids(5), 31));
        var worst = folded.sub(plain).abs().max().item<float>() / plain.abs().max().item<float>();
        Assert.True(worst < 1e-3, $"logits differ by {worst} of the largest");
    }

    /// <summary>What is written as float is, tensor by tensor, what was read.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void EveryStoredTensorComesBackInItsLayout(string name)
    {
        using var scope = NewDisposeScope();
        using var model = Open(name);
        var shapes = RandomModel.Shapes(PublishedFamilies.All[name].Tensors);
        var source = new RandomModel(shapes);
        foreach (var graph in model.Graph.Layers)
        {
            using var layer = model.LoadLayer(graph.Index);
            var written = layer.Weights.StoredTensors(new HashSet<string>()).ToList();
            Assert.Equal(graph.TensorNames.Order(), written.Select(w => w.FullName).Order());
            foreach (var stored in written)
            {
                Assert.Equal(shapes[stored.FullName], stored.Value.shape);
                Assert.True(stored.Value.equal(source.Read(stored.FullName, CPU)).all().item<bool>(), stored.FullName);
            }
        }
    }
}
