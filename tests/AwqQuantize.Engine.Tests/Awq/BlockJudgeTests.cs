using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static AwqQuantize.Engine.Tests.RandomTensors;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>The judge's choice against running the block with each candidate's weights, rounded in plain loops.</summary>
public sealed class BlockJudgeTests
{
    [Theory]
    [InlineData("llama")]
    [InlineData("gemma3_text")]
    [InlineData("gpt_neox")]
    public void ChoosesTheCandidateWhoseBlockOutputIsNearestAndPutsTheWeightsBack(string name)
    {
        const int Size = 32;
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        using var layer = tiny.Model.LoadLayer(0);
        var sample = tiny.Float("hidden_states.0").narrow(0, 0, 1);
        var chosen = new HashSet<ScaleKind>();
        foreach (var group in layer.Graph.ScaleGroups.Where(g => g.FeedsNonlinear && g.Consumers.Count <= 8))
        {
            var before = group.Consumers.ToDictionary(c => c.Module, c => ToArray(layer.Weights[c.Module + ".weight"]));
            for (var seed = 0; seed < 4; seed++)
            {
                // Made up: the judge does not care where candidates come from. One is far off.
                var candidates = new List<ScaleCandidate> { new(ScaleKind.Identity, 0, [.. Enumerable.Repeat(1f, group.Channels)], 1) };
                foreach (var (kind, spread) in new[] { (ScaleKind.Inputs, 0.2), (ScaleKind.Duo, 0.4), (ScaleKind.Duo, 3.0) })
                    candidates.Add(new(kind, spread, [.. Enumerable.Range(0, group.Channels).Select(i => (float)Math.Exp(spread * Normal(1, group.Channels, 50 + seed)[0, i]))], 1));
                var wanted = layer.RunBlock(group.Block, sample);
                var errors = candidates.Select(c => Error(c)).ToList();
                Restore();
                var best = new BlockJudge(layer, group.Block, sample).Choose(candidates, group.Consumers, [], new AwqSettings { GroupSize = Size, FitRanges = false });
                // Ties of rounding apart, it is the nearest.
                Assert.InRange(errors[candidates.IndexOf(best)] / errors.Min(), 1, 1.01);
                Assert.True(errors.Max() > 1.2 * errors.Min(), "the candidates do not differ");
                chosen.Add(best.Kind);
                foreach (var consumer in group.Consumers)
                    Assert.Equal(before[consumer.Module], ToArray(layer.Weights[consumer.Module + ".weight"]));

                double Error(ScaleCandidate candidate)
                {
                    foreach (var consumer in group.Consumers)
                    {
                        double[] s = [.. ScaleFold.ColumnScales(consumer, candidate.Scales).Select(v => (double)v)];
                        layer.Weights[consumer.Module + ".weight"].copy_(ToTensor(PlainArithmetic.Rounded(before[consumer.Module], s, Size)));
                    }
                    return (layer.RunBlock(group.Block, sample) - wanted).pow(2).sum(ScalarType.Float64).item<double>();
                }
            }

            void Restore()
            {
                foreach (var consumer in group.Consumers)
                    layer.Weights[consumer.Module + ".weight"].copy_(ToTensor(before[consumer.Module]));
            }
        }
        Assert.NotEmpty(chosen);
    }
}
