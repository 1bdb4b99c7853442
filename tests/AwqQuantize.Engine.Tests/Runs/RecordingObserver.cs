using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Keeps what a run says.</summary>
internal sealed class RecordingObserver : IRunObserver
{
    public List<RunProgress> ProgressRecords { get; } = [];

    public List<(string Id, string Message)> Warnings { get; } = [];

    public List<string> Decisions { get; } = [];

    public void Progress(RunProgress progress) => ProgressRecords.Add(progress);

    public void Warning(string id, string message) => Warnings.Add((id, message));

    public void Decision(string message) => Decisions.Add(message);
}
