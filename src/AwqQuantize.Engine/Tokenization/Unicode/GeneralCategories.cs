using System.Globalization;

namespace AwqQuantize.Engine.Tokenization.Unicode;

/// <summary>The general categories by their short names.</summary>
internal static class GeneralCategories
{
    // In the order of System.Globalization.UnicodeCategory.
    private static readonly string[] Names =
    [
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co",
        "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Cn",
    ];

    /// <returns>Null if the name (such as <c>L</c> or <c>Nd</c>) is not that of a category.</returns>
    public static CodePointSet? Find(string name)
    {
        int[] members = [.. Enumerable.Range(0, Names.Length).Where(i => name.Length > 0 && Names[i].StartsWith(name, StringComparison.Ordinal))];
        return members.Length == 0 ? null
            : CodePointSet.Of(members.SelectMany(member => CodePointSet.Category((UnicodeCategory)member).Ranges));
    }

    public static bool IsName(string name) => name.Length is 1 or 2 && Names.Any(known => known.StartsWith(name, StringComparison.Ordinal));
}
