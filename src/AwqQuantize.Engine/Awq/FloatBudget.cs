namespace AwqQuantize.Engine.Awq;

/// <summary>Spends spare bits on the sets of linears whose quantisation hurts the most.</summary>
public static class FloatBudget
{
    // Finer than this the sizes of linears do not differ in a way that matters.
    private const long MostUnits = 100_000;

    /// <summary>
    /// The choice that saves the most KL divergence within a number of weights (the effects of single sets are small, and so
    /// taken as additive): a knapsack, solved exactly.
    /// </summary>
    /// <param name="measured">All sets; those without a KL divergence are not chosen.</param>
    /// <param name="spare">Weights that may stay float.</param>
    /// <returns>The same sets, in order, with the decision.</returns>
    public static IReadOnlyList<ModuleSensitivity> Choose(IReadOnlyList<ModuleSensitivity> measured, long spare)
    {
        var able = measured.Where(m => m.KlDivergence > 0 && m.Set.Weights <= spare).ToList();
        if (able.Count == 0)
            return [.. measured.Select(m => m with { StaysFloat = false })];
        var unit = Math.Max(able.Select(m => m.Set.Weights).Aggregate(GreatestCommonDivisor), (spare + MostUnits - 1) / MostUnits);
        var capacity = (int)(spare / unit);
        var best = new double[capacity + 1];
        var taken = new bool[able.Count, capacity + 1];
        for (var i = 0; i < able.Count; i++)
        {
            var (size, gain) = (Units(i), able[i].KlDivergence!.Value);
            for (var room = capacity; room >= size; room--)
                if (best[room - size] + gain > best[room])
                    (best[room], taken[i, room]) = (best[room - size] + gain, true);
        }
        var chosen = new HashSet<ModuleSet>(ReferenceEqualityComparer.Instance);
        for (var (i, room) = (able.Count - 1, capacity); i >= 0; i--)
            if (taken[i, room])
            {
                chosen.Add(able[i].Set);
                room -= Units(i);
            }
        return [.. measured.Select(m => m with { StaysFloat = chosen.Contains(m.Set) })];

        int Units(int i) => (int)((able[i].Set.Weights + unit - 1) / unit);
    }

    private static long GreatestCommonDivisor(long a, long b) => b == 0 ? a : GreatestCommonDivisor(b, a % b);
}
