using System.Diagnostics;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Execution;

/// <summary>Turns "what, and how much of it" into a run's progress, with the time left.</summary>
internal static class EngineProgress
{
    /// <param name="observer">Of the engine's work.</param>
    /// <param name="activity">What is done, and to which model.</param>
    public static Action<string, double> To(IRunObserver observer, string activity)
    {
        var clock = Stopwatch.StartNew();
        return (status, fraction) =>
        {
            TimeSpan? remaining = fraction > 0.05 ? clock.Elapsed * ((1 - fraction) / fraction) : null;
            observer.Progress(new RunProgress(activity, status, 0, 1, fraction, remaining, null, null));
        };
    }
}
