using System.Diagnostics;

namespace AwqQuantize.Engine.Awq;

/// <summary>Adds up the time of each stage of a layer.</summary>
public sealed class StageClock
{
    private readonly Dictionary<string, double> seconds = [];

    public IReadOnlyDictionary<string, double> Seconds => seconds;

    /// <summary>Runs some work on a stage's account.</summary>
    public T Time<T>(string stage, Func<T> work)
    {
        var start = Stopwatch.GetTimestamp();
        try
        {
            return work();
        }
        finally
        {
            seconds[stage] = seconds.GetValueOrDefault(stage) + Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }

    /// <summary>Adds what was done side by side: of each stage the longest.</summary>
    public void AddLongest(IReadOnlyList<StageClock> sideBySide)
    {
        foreach (var stage in sideBySide.SelectMany(c => c.seconds).GroupBy(s => s.Key, s => s.Value))
            seconds[stage.Key] = seconds.GetValueOrDefault(stage.Key) + stage.Max();
    }

    /// <inheritdoc cref="Time{T}(string, Func{T})"/>
    public void Time(string stage, Action work) => Time(stage, () =>
    {
        work();
        return true;
    });
}
