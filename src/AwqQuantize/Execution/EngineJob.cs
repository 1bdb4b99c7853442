using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Execution;

/// <summary>
/// Work on another thread, seen from the pipeline's: warnings and decisions wait in a bounded queue, of progress only
/// the newest counts.
/// </summary>
/// <typeparam name="T">What the work returns.</typeparam>
internal sealed class EngineJob<T> : IRunObserver
{
    private readonly BlockingCollection<RunEvent> events = new(boundedCapacity: 256);
    private readonly ManualResetEventSlim finished = new();
    private readonly CancellationToken cancellation;
    private RunProgress? newest;
    private T? result;
    private Exception? error;

    private EngineJob(CancellationToken cancellation) => this.cancellation = cancellation;

    /// <param name="post">Brings the work to the thread that does it.</param>
    public static EngineJob<T> Start(Action<Action> post, Func<IRunObserver, CancellationToken, T> work, CancellationToken cancellation)
    {
        var job = new EngineJob<T>(cancellation);
        post(() => job.Run(work));
        return job;
    }

    public bool IsFinished => finished.IsSet;

    /// <summary>Waits up to <paramref name="patience"/> for something said.</summary>
    /// <returns>Null when there was nothing.</returns>
    public RunEvent? NextEvent(TimeSpan patience) => events.TryTake(out var next, patience) ? next : null;

    /// <summary>The newest progress that was not taken yet.</summary>
    public RunProgress? TakeProgress() => Interlocked.Exchange(ref newest, null);

    /// <returns>False when the work is still going on after that time.</returns>
    public bool Wait(TimeSpan patience) => finished.Wait(patience);

    /// <summary>What the finished work returned.</summary>
    /// <exception cref="Exception">What it threw.</exception>
    public T Result()
    {
        if (error is not null)
            ExceptionDispatchInfo.Throw(error);
        return result!;
    }

    void IRunObserver.Progress(RunProgress progress) => Volatile.Write(ref newest, progress);

    void IRunObserver.Warning(string id, string message) => events.Add(new RunEvent(RunEventKind.Warning, id, message), cancellation);

    void IRunObserver.Decision(string message) => events.Add(new RunEvent(RunEventKind.Decision, "", message), cancellation);

    private void Run(Func<IRunObserver, CancellationToken, T> work)
    {
        try
        {
            cancellation.ThrowIfCancellationRequested();
            result = work(this, cancellation);
        }
        catch (Exception e)
        {
            // Handed over to the pipeline's thread, which rethrows it.
            error = e;
        }
        finally
        {
            events.CompleteAdding();
            finished.Set();
        }
    }
}
