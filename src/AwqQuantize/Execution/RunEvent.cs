namespace AwqQuantize.Execution;

internal enum RunEventKind
{
    Warning,
    Decision,
}

/// <summary>Something a run says that must not be lost.</summary>
internal sealed record RunEvent(RunEventKind Kind, string Id, string Message);
