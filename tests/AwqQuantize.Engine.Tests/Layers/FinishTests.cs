using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>A block that is finished from the kept input of its last linear ends where it does when it runs as a whole.</summary>
public sealed class FinishTests
{
    private sealed class Keeper(string site) : IActivationObserver
    {
        public Tensor? Input { get; private set; }

        public bool Wants(string name) => name == site;

        public void OnInput(string name, Tensor x) => Input = x.clone().DetachFromDisposeScope();

        public void OnBlock(int block, Tensor entrance, Tensor output)
        {
        }

        public void OnRouting(string name, Tensor experts, Tensor weights)
        {
        }
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gemma2")]
    [InlineData("olmo2")]
    [InlineData("granite")]
    [InlineData("bloom")]
    [InlineData("opt")]
    [InlineData("phi3")]
    public void EndsWhereTheWholeBlockEnds(string name)
    {
        using var folder = ModelFolder.Open(SharedData.Repository($"tests/data/tiny/{name}"));
        var graph = ArchitectureCatalog.Load(SharedData.Repository("module/Architectures")).Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        using var scope = NewDisposeScope();
        using var model = DecoderModel.Open(graph, new FolderTensorSource(folder), CPU);
        using var layer = model.LoadLayer(1);
        var entrance = randn([2, 12, graph.HiddenSize], generator: new Generator(3));
        for (var block = 0; block < layer.Graph.BlockCount; block++)
        {
            var site = layer.LastSite(block);
            Assert.NotNull(site);
            var keeper = new Keeper(site);
            var whole = layer.Advance(block, entrance, keeper);
            var finished = layer.Finish(block, entrance, keeper.Input!);
            Assert.InRange((whole - finished).abs().max().item<float>(), 0, 1e-5f * whole.abs().max().item<float>());
            Assert.True((whole - entrance).abs().max().item<float>() > 1e-3);
            keeper.Input!.Dispose();
        }
    }
}
