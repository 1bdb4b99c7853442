using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>Hears nothing.</summary>
internal sealed class SilentObserver : IRunObserver
{
    public void Progress(RunProgress progress)
    {
    }

    public void Warning(string id, string message)
    {
    }

    public void Decision(string message)
    {
    }
}
