using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;
using RoundingMode = AwqQuantize.Engine.Awq.RoundingMode;

namespace AwqQuantize.Engine.Tests.Awq;

public sealed class SensitivityTests : IDisposable
{
    private const int GroupSize = 128;
    private const double Bits = 4 + 20.0 / GroupSize;

    private readonly ModelFolder folder = ModelFolder.Open(Path.Combine(Repository.Root, "samples", "stories-llama"));
    private readonly TemporaryFolder temporary = new();

    private ModelGraph Graph => Repository.Catalog.Resolve(folder.Config.Root, folder.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));

    public void Dispose()
    {
        folder.Dispose();
        temporary.Dispose();
    }

    /// <summary>With rounding to nearest nothing depends on statistics, so that every figure can be computed from scratch.</summary>
    [Fact]
    public void DivergencesAreThoseOfTheWholeModelWithOneSetRounded()
    {
        var (rows, plan) = (Rows(6, 96), Plan(8, 6, 96));
        Assert.Equal(16, plan.Sets.Count);
        var settings = new AwqSettings { GroupSize = GroupSize, Rounding = RoundingMode.Nearest, SearchScales = false, FitRanges = false };
        var measured = Walk(new Source(folder), plan, rows, settings, temporary.Path);
        Assert.Empty(Directory.GetFiles(temporary.Path)); // the states that lay there are gone
        var ids = plan.Pieces(rows).Measured;
        var exact = LogProbabilities(new Source(folder), ids);
        foreach (var set in plan.Sets)
        {
            var names = set.Modules.Select(m => $"{Graph.Layers[set.Layer].Prefix}{m}.weight").ToHashSet();
            using var scope = NewDisposeScope();
            var changed = LogProbabilities(new Source(folder, (name, w) => names.Contains(name) ? Rounded(w) : w), ids);
            var expected = (exact.exp() * (exact - changed)).sum(-1).mean().item<float>();
            Assert.Equal(expected, measured.Single(m => m.Set == set).KlDivergence!.Value, 5e-3 * expected + 1e-7);
        }
    }

    [Theory]
    [InlineData(0, "self_attn.o_proj")]
    [InlineData(2, "self_attn.o_proj")]
    [InlineData(3, "self_attn.o_proj")]
    public void AModuleThatCannotBeQuantisedIsTheOneThatStaysFloat(int layer, string module)
    {
        var name = $"{Graph.Layers[layer].Prefix}{module}.weight";
        var plan = Plan(4.5, 24, 128);
        Assert.Equal(4, plan.Sets.Count); // the budget has room for one of these only
        var measured = Walk(new Source(folder, (n, w) => n == name ? WithOutliers(w) : w), plan, Rows(24, 128), new AwqSettings { GroupSize = GroupSize, Sweeps = 1 }, null);
        var decided = FloatBudget.Choose(measured, plan.SpareWeights);
        var kept = Assert.Single(decided, d => d.StaysFloat);
        Assert.Equal((layer, module), (kept.Set.Layer, kept.Set.Name));
        Assert.All(decided.Where(d => !d.StaysFloat), d => Assert.True(d.KlDivergence < 0.5 * kept.KlDivergence));
    }

    [Fact]
    public void TheShortlistHoldsThoseThatChangeTheMostForTheirSize()
    {
        var rows = Rows(6, 96);
        var plan = Plan(8, 6, 96) with { Shortlist = 5 };
        var measured = Walk(new Source(folder), plan, rows, new AwqSettings { GroupSize = GroupSize, Sweeps = 0 }, null);
        Assert.Equal(5, measured.Count(m => m.KlDivergence is not null));
        // Those that are given up are the least of the six that were there then; the last layer's five are the last to come.
        var least = measured.Where(m => m.KlDivergence is not null).Min(m => m.StreamError / m.Set.Weights);
        Assert.All(measured.Where(m => m.KlDivergence is null), m => Assert.True(m.StreamError / m.Set.Weights <= least));
    }

    [Fact]
    public void MeasuredPiecesAndThoseOfTheStatisticsAreDifferentOnes()
    {
        for (var rows = 1; rows < 40; rows += 3)
            foreach (var length in new[] { 20, 512, 700, 4096 })
            {
                var plan = SensitivityPlan.Make(Graph, l => ModuleSelection.StayFloat(l, GroupSize, []), Bits, 4.5, rows, length)!;
                var ids = Enumerable.Range(0, rows).Select(r => Enumerable.Range(r * length, length).ToArray()).ToList();
                var (measured, statistics) = plan.Pieces(ids);
                Assert.Equal(plan.MeasuredPieces, measured.Count);
                Assert.Equal(plan.StatisticsPieces, statistics.Count);
                Assert.All(measured.Concat(statistics), p => Assert.Equal(plan.PieceLength, p.Length));
                var all = measured.Concat(statistics).SelectMany(p => p).ToList();
                Assert.Equal(rows * (length / plan.PieceLength) == 1 ? all.Count / 2 : all.Count, all.Distinct().Count());
            }
    }

    [Fact]
    public void NothingIsPlannedWhereTheFormatTakesAllTheBits() =>
        Assert.Null(SensitivityPlan.Make(Graph, l => ModuleSelection.StayFloat(l, 32, []), 4.625, 4.5, 8, 128));

    private SensitivityPlan Plan(double most, int rows, int length) => SensitivityPlan.Make(Graph, l => ModuleSelection.StayFloat(l, GroupSize, []), Bits, most, rows, length)!;

    private IReadOnlyList<ModuleSensitivity> Walk(ITensorSource source, SensitivityPlan plan, IReadOnlyList<int[]> rows, AwqSettings settings, string? states)
    {
        using var guard = no_grad();
        using var model = DecoderModel.Open(Graph, source, CPU);
        var batch = new MicroBatch(4, temporary.File("spill"), (id, _) => Assert.Fail(id));
        return new SensitivityWalk(model, plan, rows, settings, batch, states, default).Run();
    }

    /// <summary>Text of the model's own making is not at hand in tokens; any ids with some structure will do.</summary>
    private List<int[]> Rows(int count, int length)
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, length).Select(_ => (int)(Graph.VocabularySize * Math.Pow(random.NextDouble(), 3))).ToArray())];
    }

    private Tensor LogProbabilities(ITensorSource source, IReadOnlyList<int[]> pieces)
    {
        using var guard = no_grad();
        using var model = DecoderModel.Open(Graph, source, CPU);
        var hidden = model.Embed(tensor(pieces.SelectMany(p => p).Select(i => (long)i).ToArray(), [pieces.Count, pieces[0].Length]));
        for (var i = 0; i < Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            hidden = layer.Forward(hidden);
        }
        return nn.functional.log_softmax(model.Logits(hidden), -1);
    }

    /// <summary>Nearest of 16 values between the extremes of each group, as the format defines them.</summary>
    private static Tensor Rounded(Tensor w)
    {
        var grouped = w.view(w.shape[0], -1, GroupSize);
        var low = grouped.amin([2L], true).clamp_max(0);
        var high = grouped.amax([2L], true).clamp_min(0);
        var scale = ((high - low) / 15).to(ScalarType.Float16).to(ScalarType.Float32);
        var zero = (-low / scale).round();
        // As the program has it, a product with the inverse: with a quotient other ties break the other way.
        return (((grouped * (1 / scale)).round() + zero).clamp(0, 15) - zero).mul(scale).view(w.shape);
    }

    /// <summary>One weight of each group, each time another one, is made so large that nothing is left of the others in 4 bits.</summary>
    private static Tensor WithOutliers(Tensor w)
    {
        var values = w.clone();
        var random = new Random(11);
        for (var row = 0L; row < w.shape[0]; row++)
            for (var at = 0L; at < w.shape[1]; at += GroupSize)
                values[row, at + random.Next(GroupSize)] = 12 * w.abs().max();
        return values;
    }

    /// <summary>The folder's tensors, some of them changed.</summary>
    private sealed class Source(ModelFolder folder, Func<string, Tensor, Tensor>? change = null) : ITensorSource
    {
        private readonly FolderTensorSource inner = new(folder);

        public bool Contains(string name) => inner.Contains(name);

        public long[] Shape(string name) => inner.Shape(name);

        public Tensor Read(string name, Device device) => change is null ? inner.Read(name, device) : change(name, inner.Read(name, device));
    }
}
