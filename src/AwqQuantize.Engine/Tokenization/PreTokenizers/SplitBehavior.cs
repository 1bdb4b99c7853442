namespace AwqQuantize.Engine.Tokenization.PreTokenizers;

/// <summary>What becomes of the matches of a splitting pattern (<c>SplitDelimiterBehavior</c>).</summary>
internal enum SplitBehavior
{
    /// <summary>They are dropped.</summary>
    Removed,

    /// <summary>Each is a piece.</summary>
    Isolated,

    /// <summary>Each is added to what stands before it.</summary>
    MergedWithPrevious,

    /// <summary>Each is added to what stands after it.</summary>
    MergedWithNext,

    /// <summary>Neighbouring ones are one piece.</summary>
    Contiguous,
}
