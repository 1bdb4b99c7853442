using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using TorchSharp;
using static AwqQuantize.Engine.Tests.RandomTensors;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>The search against formulas and losses that are written out here, and against a finer search that tries everything.</summary>
public sealed class ScaleSearchTests
{
    private const int Columns = 64, Group = 32;

    private static readonly AwqSettings Nearest = new() { GroupSize = Group, Rounding = RoundingMode.Nearest, FitRanges = false, SearchRows = 1000 };

    [Fact]
    public void ALossIsThatOfTheRoundedWeightsOnTheGramMatrix()
    {
        var problem = new Problem(1);
        foreach (var candidate in problem.Search(Nearest))
        {
            var expected = problem.Loss([.. candidate.Scales.Select(s => (double)s)]);
            Assert.Equal(expected, candidate.Loss, 2e-3 * expected); // float32, and a tie may fall the other way
        }
    }

    [Fact]
    public void CandidatesHaveTheScalesOfTheirFormula()
    {
        var problem = new Problem(2);
        var candidates = problem.Search(Nearest);
        Assert.Single(candidates, c => c.Kind == ScaleKind.Identity && c.Scales.All(s => s == 1));
        foreach (var kind in new[] { ScaleKind.Inputs, ScaleKind.Duo })
        {
            var tried = candidates.Where(c => c.Kind == kind).ToList();
            Assert.Superset(new HashSet<double> { 0.2, 0.4, 0.6, 0.8, 1 }, tried.Select(c => Math.Round(c.Ratio, 3)).ToHashSet());
            foreach (var candidate in tried)
            {
                var expected = problem.Scales(kind, candidate.Ratio);
                for (var i = 0; i < Columns; i++)
                    Assert.Equal(expected[i], candidate.Scales[i], 1e-4 * expected[i]);
                Assert.Equal(1, candidate.Scales.Max() * candidate.Scales.Min(), 1e-4);
                Assert.Equal(candidate.Scales.Max() / candidate.Scales.Min(), candidate.Spread, 1e-4 * candidate.Spread);
            }
        }
        Assert.Equal(candidates.OrderBy(c => c.Loss).Select(c => c.Loss), candidates.Select(c => c.Loss));
    }

    /// <summary>From coarse to fine: 19 candidates at most, against all 40 of a grid in steps of 0.05 and the identity.</summary>
    [Fact]
    public void FindsNearlyTheBestOfAllRatios()
    {
        double found = 0, best = 0, identity = 0;
        var hits = 0;
        for (var seed = 10; seed < 30; seed++)
        {
            var problem = new Problem(seed);
            var plain = problem.Loss([.. Enumerable.Repeat(1.0, Columns)]);
            var all = new[] { ScaleKind.Inputs, ScaleKind.Duo }
                .SelectMany(kind => Enumerable.Range(1, 20).Select(step => problem.Loss(problem.Scales(kind, step / 20.0)))).Append(plain).Min();
            var candidates = problem.Search(Nearest);
            var winner = problem.Loss([.. candidates[0].Scales.Select(s => (double)s)]);
            Assert.True(winner <= plain * 1.0001, $"seed {seed}: {winner} is worse than the identity's {plain}");
            Assert.True(winner >= all * 0.999, $"seed {seed}: {winner} is better than everything, {all}");
            (found, best, identity) = (found + winner, best + all, identity + plain);
            if (winner <= all * 1.001)
                hits++;
        }
        Assert.True(best < 0.8 * identity, "the problems have nothing to find");
        Assert.True(found <= best * 1.03, $"{found} against {best} by trying everything");
        Assert.True(hits >= 10, $"only {hits} of 20 searches end at the very best");
    }

    /// <summary>With compensation in the loop a candidate's loss is what folding and rounding would really leave.</summary>
    [Fact]
    public void CompensatedCandidatesAreJudgedByTheRoundingThatFollows()
    {
        var problem = new Problem(3);
        foreach (var candidate in problem.Search(Nearest with { Rounding = RoundingMode.Compensated, FitRanges = true }).Where((_, i) => i % 4 == 0))
        {
            using var curvature = Curvature.From(ToTensor(Gram(problem.X)));
            curvature.Rescale(candidate.Scales);
            var folded = new double[problem.Weights.GetLength(0), Columns];
            for (var r = 0; r < folded.GetLength(0); r++)
                for (var i = 0; i < Columns; i++)
                    folded[r, i] = (float)(problem.Weights[r, i] * candidate.Scales[i]);
            using var weights = ToTensor(folded);
            LinearRounding.Round(weights, curvature, problem.X.GetLength(0), Nearest with { Rounding = RoundingMode.Compensated, FitRanges = true, Sweeps = 0 }, out var loss);
            Assert.Equal(loss, candidate.Loss, 0.02 * loss);
        }
    }

    [Fact]
    public void ColumnsOfOneChannelShareTheirScale()
    {
        var problem = new Problem(4);
        int[] channel = [.. Enumerable.Range(0, Columns).Select(i => i / 16 * 8 + i % 8)]; // pairs, 8 apart, as heads repeat under grouped-query attention
        foreach (var candidate in problem.Search(Nearest, channel))
        {
            Assert.Equal(Columns / 2, candidate.Scales.Length);
            var expected = problem.Loss([.. channel.Select(c => (double)candidate.Scales[c])]);
            Assert.Equal(expected, candidate.Loss, 2e-3 * expected);
        }
    }

    /// <summary>Two linears that share an input whose channels differ in size.</summary>
    private sealed class Problem(int seed)
    {
        private const int First = 24, Second = 16;

        public double[,] X { get; } = Activations(300, Columns, seed);

        public double[,] Weights { get; } = Normal(First + Second, Columns, 1000 + seed);

        private double[] Magnitude => [.. Enumerable.Range(0, Columns).Select(i => Enumerable.Range(0, X.GetLength(0)).Average(t => Math.Abs(X[t, i])))];

        public IReadOnlyList<ScaleCandidate> Search(AwqSettings settings, int[]? channel = null)
        {
            using var curvature = Curvature.From(ToTensor(Gram(X)));
            using var all = ToTensor(Weights);
            var group = new ScaleGroup("norm -> a, b", "in", channel is null ? Columns : channel.Max() + 1, [], [new ScaleConsumer("a", channel), new ScaleConsumer("b", channel)], 0, false);
            return new ScaleSearch([all.narrow(0, 0, First).contiguous(), all.narrow(0, First, Second).contiguous()], curvature, [.. Magnitude.Select(m => (float)m)], group, settings).Run(default);
        }

        /// <summary>Σ rows e H eᵀ of Q(W·s)/s − W, H damped by a hundredth of its mean diagonal.</summary>
        public double Loss(double[] s)
        {
            var h = Gram(X);
            var mean = Enumerable.Range(0, Columns).Average(i => h[i, i]);
            for (var i = 0; i < Columns; i++)
                h[i, i] += 0.01 * mean;
            return QuadraticLoss(Subtract(PlainArithmetic.Rounded(Weights, s, Group), Weights), h);
        }

        /// <summary>x̄ to the power r, over w̄ to the power 1 − r where weights count as well; the largest times the smallest is 1.</summary>
        public double[] Scales(ScaleKind kind, double ratio)
        {
            var relative = new double[Columns];
            for (var r = 0; r < First + Second; r++)
                for (var start = 0; start < Columns; start += Group)
                {
                    var largest = Enumerable.Range(start, Group).Max(i => Math.Abs(Weights[r, i]));
                    for (var i = start; i < start + Group; i++)
                        relative[i] += Math.Abs(Weights[r, i]) / (largest + 1e-6) / (First + Second);
                }
            var s = Magnitude.Select((m, i) => Math.Max(1e-4, kind == ScaleKind.Duo ? Math.Pow(m, ratio) / (Math.Pow(relative[i], 1 - ratio) + 1e-4) : Math.Pow(m, ratio))).ToArray();
            var norm = Math.Sqrt(s.Max() * s.Min());
            return [.. s.Select(v => v / norm)];
        }
    }
}
