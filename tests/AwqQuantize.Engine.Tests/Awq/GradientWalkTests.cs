using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>Gradients of the sample's loss by the outputs of its linears.</summary>
public sealed class GradientWalkTests : IDisposable
{
    private const int Length = 64;

    private readonly ModelFolder folder = ModelFolder.Open(Path.Combine(Repository.Root, "samples", "stories-llama"));
    private readonly TemporaryFolder temporary = new();

    public void Dispose()
    {
        folder.Dispose();
        temporary.Dispose();
    }

    /// <summary>
    /// Fisher information is the curvature of the divergence: KL(float‖output + d) = ½ E (g·d)² for a change d of a linear's output for a
    /// token. The divergence is measured here with d along one output after the other: their sum is that of the squared norms.
    /// </summary>
    [Theory]
    [InlineData(3, "mlp.down_proj", 30)]
    [InlineData(1, "self_attn.v_proj", 5)]
    [InlineData(0, "mlp.up_proj", 20)]
    public void SquaredNormsAreTheCurvatureOfTheDivergence(int layer, string module, int position)
    {
        const float Step = 0.05f;
        const int Every = 8; // outputs, evenly spread
        var rows = Rows(64);
        var gathered = Walk(rows, 0, 1)[layer][module];
        Assert.Equal(rows.Count * Length, gathered.Norms.Count);
        using var scope = NewDisposeScope();
        using var model = Open();
        var ids = tensor(rows.SelectMany(r => r).Select(i => (long)i).ToArray(), [rows.Count, Length]);
        var exact = Predictions(model, ids, null);
        var outputs = model.Graph.Layers[layer].Linears.Single(l => l.Module == module).Out;
        var curvature = 0.0;
        for (var o = 0; o < outputs; o += Every)
        {
            using var inner = NewDisposeScope();
            var change = zeros(Length, outputs);
            change[position, o] = Step;
            var changed = Predictions(model, ids, (at, name, y) => at == layer && name == module ? y.view(-1, Length, outputs).add(change).view(y.shape) : y);
            curvature += Every * 2 * (exact.exp() * (exact - changed)).sum(ScalarType.Float64).item<double>() / (Step * Step);
        }
        var squares = Enumerable.Range(0, rows.Count).Sum(row => Math.Pow(gathered.Norms[row * Length + position], 2));
        Assert.InRange(squares / curvature, 0.7, 1.4);
    }

    /// <summary>What is drawn for a row is its own: parts of the rows give what all of them give.</summary>
    [Fact]
    public void PartsOfTheRowsGiveWhatAllGive()
    {
        var rows = Rows(6);
        var whole = Walk(rows, 0, 1);
        var parts = new[] { 0, 1 }.Select(s => Walk([.. rows.Where((_, i) => i % 2 == s)], s, 2)).ToList();
        for (var layer = 0; layer < whole.Count; layer++)
            foreach (var (module, all) in whole[layer])
            {
                for (var token = 0; token < all.Norms.Count; token++)
                {
                    var row = token / Length;
                    Assert.Equal(all.Norms[token], parts[row % 2][layer][module].Norms[row / 2 * Length + token % Length], 1e-4f * all.Norms[token] + 1e-7f);
                }
                for (var part = 0; part < all.Grams.Count; part++)
                {
                    var sum = parts[0][layer][module].Grams[part] + parts[1][layer][module].Grams[part];
                    Assert.True((sum - all.Grams[part]).norm().item<float>() < 1e-4 * all.Grams[part].norm().item<float>());
                }
            }
        Assert.Empty(Directory.GetFiles(temporary.Path));
    }

    /// <summary>Every quantisable linear is there, its matrix is what its norms say (the trace of Σ g gᵀ / ‖g‖ is Σ ‖g‖), and symmetric.</summary>
    [Theory]
    [InlineData("samples/stories-llama")]
    [InlineData("tests/data/stories-moe")]
    [InlineData("tests/data/stories-gemma3")]
    public void EveryLinearIsFollowed(string path)
    {
        using var other = ModelFolder.Open(Path.Combine(Repository.Root, path));
        var graph = Repository.Catalog.Resolve(other.Config.Root, other.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        using var model = DecoderModel.Open(graph, new FolderTensorSource(other), CPU);
        var rows = Rows(8);
        var layers = Walk(model, rows, 0, 1, temporary.Path);
        foreach (var layer in graph.Layers)
            foreach (var linear in layer.Linears.Where(l => l.KeepFloatReason is null))
            {
                var gathered = layers[layer.Index][linear.Module];
                if (linear.Expert < 0)
                    Assert.Equal(rows.Count * Length, gathered.Norms.Count);
                var matrix = Assert.Single(gathered.Grams);
                Assert.Equal([linear.Out, linear.Out], matrix.shape);
                Assert.Equal(gathered.Norms.Sum(n => (double)n), matrix.trace().item<float>(), 1e-3 * gathered.Norms.Sum(n => (double)n) + 1e-9);
                Assert.True((matrix - matrix.t()).norm().item<float>() <= 1e-5 * matrix.norm().item<float>());
            }
        Assert.Empty(Directory.GetFiles(temporary.Path)); // the states that lay there are gone
    }

    [Fact]
    public void TokensCountByTheirNormsAndMatricesAreOfTheSizeOfOnes()
    {
        float[] first = [1, 3, 0, 4], second = [2, 2, 2, 2];
        var gradients = new LayerGradients(new Dictionary<string, float[]> { ["a"] = first, ["b"] = second, ["dead"] = new float[4] }, 2,
            m => m == "a" ? [eye(3) * 5, eye(2) * 7] : null);
        var weights = gradients.TokenWeights(["a", "b", "dead", "unknown"])!;
        // Half of each, over its mean: 2 both times.
        Assert.Equal([MathF.Sqrt(0.75f), MathF.Sqrt(1.25f), MathF.Sqrt(0.5f), MathF.Sqrt(1.5f)], weights.Roots(0, 2, 2));
        Assert.Equal([MathF.Sqrt(0.5f)], weights.Roots(1, 1, 1)); // a row that became shorter
        Assert.Null(gradients.TokenWeights(["dead", "unknown"]));
        var graph = Repository.Catalog.Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        var linear = graph.Layers[0].Linears[0];
        Assert.All(gradients.Grams(linear with { Module = "a" })!, m => Assert.Equal(1, m.diagonal().mean().item<float>(), 1e-6f));
        Assert.Null(gradients.Grams(linear with { Module = "b" }));
    }

    private DecoderModel Open() => DecoderModel.Open(
        Repository.Catalog.Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape)), new FolderTensorSource(folder), CPU);

    private IReadOnlyList<IReadOnlyDictionary<string, GradientWalk.Gathered>> Walk(IReadOnlyList<int[]> rows, int first, int step)
    {
        using var model = Open();
        return Walk(model, rows, first, step, null);
    }

    private static IReadOnlyList<IReadOnlyDictionary<string, GradientWalk.Gathered>> Walk(DecoderModel model, IReadOnlyList<int[]> rows, int first, int step, string? spill)
    {
        var layers = new SortedDictionary<int, IReadOnlyDictionary<string, GradientWalk.Gathered>>();
        var before = model.Graph.LayerCount;
        new GradientWalk(model, rows, first, step, spill, default).Run(true, (layer, gathered) =>
        {
            Assert.Equal(--before, layer);
            layers[layer] = gathered.ToDictionary(g => g.Key, g => g.Value with { Grams = [.. g.Value.Grams.Select(m => m.clone().DetachFromDisposeScope())] });
        });
        return [.. layers.Values];
    }

    /// <summary>Log-probabilities, [rows, length, vocabulary], with outputs of linears changed on the way.</summary>
    private static Tensor Predictions(DecoderModel model, Tensor ids, Func<int, string, Tensor, Tensor>? change)
    {
        using var guard = no_grad();
        var hidden = model.Embed(ids);
        for (var i = 0; i < model.Graph.LayerCount; i++)
        {
            var index = i;
            using var layer = model.LoadLayer(i);
            if (change is not null)
                layer.Weights.OutputProbe = (module, y) => change(index, module, y);
            hidden = layer.Forward(hidden);
        }
        return nn.functional.log_softmax(model.Logits(hidden), -1);
    }

    /// <summary>Ids below the vocabularies of all samples.</summary>
    private static List<int[]> Rows(int count)
    {
        var random = new Random(5);
        return [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, Length).Select(_ => random.Next(5, 1000)).ToArray())];
    }
}
