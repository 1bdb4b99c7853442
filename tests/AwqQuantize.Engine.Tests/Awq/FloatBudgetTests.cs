using AwqQuantize.Engine.Awq;

namespace AwqQuantize.Engine.Tests.Awq;

public sealed class FloatBudgetTests
{
    [Fact]
    public void SavesAsMuchAsTheBestOfAllChoices()
    {
        var random = new Random(3);
        for (var trial = 0; trial < 200; trial++)
        {
            var sets = Enumerable.Range(0, 10).Select(i => Measured(i, 64L * random.Next(1, 40), random.Next(8) == 0 ? null : random.NextDouble() - 0.1)).ToList();
            var spare = random.Next(1, 64 * 80);
            var best = 0.0;
            for (var choice = 0; choice < 1 << sets.Count; choice++)
            {
                var chosen = sets.Where((s, i) => (choice >> i & 1) == 1 && s.KlDivergence is not null).ToList();
                if (chosen.Sum(s => s.Set.Weights) <= spare)
                    best = Math.Max(best, chosen.Sum(s => s.KlDivergence!.Value));
            }
            var decided = FloatBudget.Choose(sets, spare);
            Assert.Equal(sets.Select(s => s.Set), decided.Select(d => d.Set));
            Assert.InRange(decided.Where(d => d.StaysFloat).Sum(d => d.Set.Weights), 0, spare);
            Assert.All(decided.Where(d => d.StaysFloat), d => Assert.True(d.KlDivergence > 0));
            Assert.Equal(best, decided.Where(d => d.StaysFloat).Sum(d => d.KlDivergence!.Value), 1e-12);
        }
    }

    [Fact]
    public void StaysWithinTheBudgetWhereSizesAreTooManyToBeTakenExactly()
    {
        var random = new Random(4);
        var sets = Enumerable.Range(0, 60).Select(i => Measured(i, 3_000_017L + 1009L * random.Next(1_000_000), random.NextDouble())).ToList();
        var decided = FloatBudget.Choose(sets, 5_000_000_001);
        var spent = decided.Where(d => d.StaysFloat).Sum(d => d.Set.Weights);
        Assert.InRange(spent, 4_500_000_000, 5_000_000_001);
    }

    private static ModuleSensitivity Measured(int layer, long weights, double? divergence) => new(new ModuleSet(layer, "mlp.down_proj", ["mlp.down_proj"], weights), 1, divergence, false);
}
