using System.Diagnostics;
using System.Management.Automation;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Execution;

/// <summary>Two levels of progress, at most four times a second, completed at the end whatever happened.</summary>
internal sealed class ProgressReporter(Action<ProgressRecord> write) : IDisposable
{
    private const int Outer = 1;
    private const int Inner = 2;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    private long last;
    private string activity = "";
    private bool outerShown;
    private bool innerShown;

    /// <summary>Whether the next report would be written.</summary>
    public bool IsDue => last == 0 || Stopwatch.GetElapsedTime(last) >= Interval;

    public void Report(RunProgress progress)
    {
        if (!IsDue)
            return;
        last = Stopwatch.GetTimestamp();
        activity = NotEmpty(progress.Activity);
        write(new ProgressRecord(Outer, activity, NotEmpty(progress.Status))
        {
            PercentComplete = Percent(progress.Fraction),
            SecondsRemaining = progress.Remaining is { } left ? (int)Math.Min(left.TotalSeconds, int.MaxValue) : -1,
        });
        outerShown = true;
        if (progress.Detail is null)
        {
            Complete(Inner, ref innerShown);
            return;
        }
        write(new ProgressRecord(Inner, NotEmpty(progress.Status), NotEmpty(progress.Detail))
        {
            ParentActivityId = Outer,
            PercentComplete = progress.DetailFraction is { } part ? Percent(part) : -1,
        });
        innerShown = true;
    }

    public void Dispose()
    {
        Complete(Inner, ref innerShown);
        Complete(Outer, ref outerShown);
    }

    private void Complete(int id, ref bool shown)
    {
        if (!shown)
            return;
        shown = false;
        write(new ProgressRecord(id, NotEmpty(activity), "done") { RecordType = ProgressRecordType.Completed, ParentActivityId = id == Inner ? Outer : -1 });
    }

    private static int Percent(double fraction) => double.IsNaN(fraction) ? -1 : (int)Math.Clamp(fraction * 100, 0, 100);

    private static string NotEmpty(string text) => string.IsNullOrWhiteSpace(text) ? "AwqQuantize" : text;
}
