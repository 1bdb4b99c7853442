using AwqQuantize.Engine.Runs;

namespace AwqQuantize.RunHost;

/// <summary>Writes what a run tells, each thing on a line of its own, at once.</summary>
internal sealed class Lines : IRunObserver
{
    private string detail = "";

    public void Say(string line)
    {
        Console.Out.WriteLine(line);
        Console.Out.Flush();
    }

    public void Progress(RunProgress progress)
    {
        var now = $"{progress.Status}: {progress.Detail}";
        if (now == detail)
            return;
        Say($"at {detail = now}");
    }

    public void Warning(string id, string message) => Say($"warning {id} {message}");

    public void Decision(string message) => Say($"decision {message}");
}
