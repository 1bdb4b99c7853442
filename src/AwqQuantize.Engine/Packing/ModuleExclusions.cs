namespace AwqQuantize.Engine.Packing;

/// <summary>
/// Writes <c>modules_to_not_convert</c>. Readers match entries as substrings of module names, so each entry must match
/// nothing that is quantised: <c>gate</c> would also mean <c>gate_proj</c>.
/// </summary>
public static class ModuleExclusions
{
    /// <summary>The shortest names, cut at dots, that mean the float linears and none of the quantised ones.</summary>
    /// <param name="floatModules">Full names of the linears that stay float, e.g. <c>lm_head</c>, <c>model.layers.3.mlp.gate</c>.</param>
    /// <param name="quantizedModules">Full names of the quantised ones.</param>
    /// <exception cref="AwqException"><c>ModuleNameAmbiguous</c>: a float module's full name is part of a quantised one's.</exception>
    public static IReadOnlyList<string> Create(IEnumerable<string> floatModules, IReadOnlyCollection<string> quantizedModules)
    {
        var entries = new List<string>();
        foreach (var module in floatModules)
        {
            if (!entries.Exists(e => module.Contains(e, StringComparison.Ordinal)))
                entries.Add(Shortest(module, quantizedModules));
        }
        return entries;
    }

    private static string Shortest(string module, IReadOnlyCollection<string> quantized)
    {
        // Parent and child at least: a last component alone says too little about where it is.
        for (var start = LastDot(module, LastDot(module, module.Length)); ; start = LastDot(module, start))
        {
            var candidate = module[(start + 1)..];
            // A tail that starts with a number would also mean the tenth where it says the zeroth.
            if (!char.IsAsciiDigit(candidate[0]) && !quantized.Any(q => q.Contains(candidate, StringComparison.Ordinal)))
                return candidate;
            if (start < 0)
            {
                throw new AwqException("ModuleNameAmbiguous", AwqErrorKind.NotSupported,
                    $"'{module}' stays float, but its name is part of the name of a quantised linear, and readers of AWQ checkpoints could not tell them apart.",
                    "Exclude the other linear too (-ExcludeModule).");
            }
        }
    }

    private static int LastDot(string text, int before) => before <= 0 ? -1 : text.LastIndexOf('.', before - 1);
}
