namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>A part of a parsed regular expression.</summary>
internal abstract record PatternNode;

internal sealed record AlternationNode(IReadOnlyList<PatternNode> Choices) : PatternNode;

internal sealed record SequenceNode(IReadOnlyList<PatternNode> Parts) : PatternNode;

/// <summary>A quantified part; <paramref name="Maximum"/> is -1 without a limit.</summary>
internal sealed record RepeatNode(PatternNode Inner, int Minimum, int Maximum, RepeatKind Kind) : PatternNode;

internal enum RepeatKind
{
    Greedy,
    Lazy,
    Possessive,
}

/// <summary>A group that opens with <paramref name="Opening"/>, which .NET and Oniguruma understand alike.</summary>
internal sealed record GroupNode(string Opening, PatternNode Inner) : PatternNode;

/// <summary>A position; <paramref name="DotNet"/> is how .NET says it.</summary>
internal sealed record AnchorNode(string DotNet) : PatternNode;

/// <summary>A word boundary, made of look-around at <paramref name="Word"/>, because .NET's differs.</summary>
internal sealed record WordBoundaryNode(SetNode Word, bool Negated) : PatternNode;
