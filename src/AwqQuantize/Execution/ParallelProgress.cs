using System.Diagnostics;
using System.Management.Automation;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Execution;

/// <summary>One bar over several runs and one below it for each, at most four times a second, completed whatever happens.</summary>
internal sealed class ParallelProgress(Action<ProgressRecord> write) : IDisposable
{
    private const int Outer = 1;
    private const string Activity = "Quantising models";
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    private readonly SortedSet<int> shown = [];
    private long last;

    /// <summary>Whether the next report would be written.</summary>
    public bool IsDue => last == 0 || Stopwatch.GetElapsedTime(last) >= Interval;

    /// <param name="status">How many are done and running.</param>
    /// <param name="runs">News of those that run.</param>
    public void Report(string status, IEnumerable<(int Slot, RunProgress Progress)> runs)
    {
        last = Stopwatch.GetTimestamp();
        shown.Add(Outer);
        write(new ProgressRecord(Outer, Activity, status) { PercentComplete = -1 });
        foreach (var (slot, progress) in runs)
        {
            var id = Outer + 1 + slot;
            shown.Add(id);
            var detail = progress.Detail is null ? progress.Status : $"{progress.Status}: {progress.Detail}";
            write(new ProgressRecord(id, NotEmpty(progress.Activity), NotEmpty(detail))
            {
                ParentActivityId = Outer,
                PercentComplete = double.IsNaN(progress.Fraction) ? -1 : (int)Math.Clamp(progress.Fraction * 100, 0, 100),
                SecondsRemaining = progress.Remaining is { } left ? (int)Math.Min(left.TotalSeconds, int.MaxValue) : -1,
            });
        }
    }

    /// <summary>Takes away the bar of a run that has ended.</summary>
    public void End(int slot) => Complete(Outer + 1 + slot);

    public void Dispose()
    {
        foreach (var id in shown.Reverse().ToList())
            Complete(id);
    }

    private void Complete(int id)
    {
        if (shown.Remove(id))
            write(new ProgressRecord(id, Activity, "done") { RecordType = ProgressRecordType.Completed, ParentActivityId = id == Outer ? -1 : Outer });
    }

    private static string NotEmpty(string text) => string.IsNullOrWhiteSpace(text) ? "AwqQuantize" : text;
}
