using System.Text.RegularExpressions;
using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Engine.Awq;

/// <summary>Decides which linears of a layer stay float, and says why.</summary>
public static class ModuleSelection
{
    /// <param name="graph">The layer.</param>
    /// <param name="groupSize">Columns per group.</param>
    /// <param name="exclude">The user's patterns: wildcards (* and ?) on the full module name, or part of it.</param>
    /// <returns>Reason by module name; linears that are not in it are quantised.</returns>
    public static IReadOnlyDictionary<string, string> StayFloat(LayerGraph graph, int groupSize, IReadOnlyList<string> exclude)
    {
        var reasons = new Dictionary<string, string>();
        foreach (var linear in graph.Linears)
            if (Reason(linear) is { } reason)
                reasons[linear.Module] = reason;
        // Readers fuse siblings, so they are quantised together or not at all.
        foreach (var siblings in graph.Linears.Where(l => l.FusedWith is not null).GroupBy(l => l.FusedWith))
            if (siblings.FirstOrDefault(l => reasons.ContainsKey(l.Module)) is { } held)
                foreach (var linear in siblings)
                    reasons.TryAdd(linear.Module, $"readers fuse it with {held.Module}, which stays float");
        return reasons;

        string? Reason(LinearSpec linear) =>
            linear.KeepFloatReason
            ?? (linear.In % groupSize != 0 ? $"its {linear.In} inputs are no multiple of the group size {groupSize}" : null)
            ?? (linear.Out % 8 != 0 ? $"its {linear.Out} outputs are no multiple of 8" : null)
            ?? (exclude.FirstOrDefault(p => Matches(graph.Prefix + linear.Module, p)) is { } pattern ? $"excluded by '{pattern}'" : null);
    }

    /// <summary>Whether a pattern means a module: a wildcard must match all of the name, plain text a part that ends at dots.</summary>
    public static bool Matches(string module, string pattern) => pattern.AsSpan().ContainsAny('*', '?')
        ? Regex.IsMatch(module, "^" + Regex.Escape(pattern).Replace(@"\*", ".*").Replace(@"\?", ".") + "$", RegexOptions.CultureInvariant)
        : $".{module}.".Contains($".{pattern.Trim('.')}.", StringComparison.Ordinal);
}
