using AwqQuantize.Engine.Tokenization.Patterns;
using AwqQuantize.Engine.Tokenization.PreTokenizers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>The pre-tokenizers of byte-level models whose files do not hold them.</summary>
internal static class ByteLevelParts
{
    /// <summary>Qwen's pattern; GLM-4's and Llama 3's differ in how many digits go together.</summary>
    public static string Pattern(string digits) =>
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    public static IReadOnlyList<PieceSplitter> SplitBy(string pattern) =>
    [
        new PatternSplitter(new OnigPattern(pattern), SplitBehavior.Isolated, invert: false),
        new ByteLevelSplitter(addPrefixSpace: false, useRegex: false),
    ];
}
