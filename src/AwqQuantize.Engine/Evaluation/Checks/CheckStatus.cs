namespace AwqQuantize.Engine.Evaluation;

/// <summary>What became of a check.</summary>
public enum CheckStatus
{
    Passed,

    /// <summary>It could not be made; the message says what was missing for it.</summary>
    NotRun,

    /// <summary>The checkpoint loads and works, but something is not as it should be.</summary>
    Warning,

    Failed,
}
