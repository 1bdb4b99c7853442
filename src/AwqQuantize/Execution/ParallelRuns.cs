using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Execution;

/// <summary>
/// Several runs at once, each on a thread of its own, no more of them than their predicted memory allows. Everything they say is
/// collected by <see cref="Collect"/>, on the pipeline's thread.
/// </summary>
/// <param name="limit">Most runs at once.</param>
/// <param name="memory">Bytes that the runs may take together; a run that needs more goes alone.</param>
/// <param name="stopped">Ends all of them.</param>
internal sealed class ParallelRuns<T>(int limit, long memory, CancellationToken stopped) : IDisposable
{
    private readonly CancellationTokenSource leaving = CancellationTokenSource.CreateLinkedTokenSource(stopped);
    private readonly List<ParallelRun<T>> running = [];

    public int Count => running.Count;

    public bool HasRoomFor(long bytes) => running.Count == 0 || (running.Count < limit && running.Sum(r => r.Memory) + bytes <= memory);

    /// <summary>What they are at, in the order of their slots.</summary>
    public IEnumerable<(int Slot, RunProgress Progress)> Progress =>
        running.OrderBy(r => r.Slot).Select(r => (r.Slot, Progress: r.TakeProgress())).Where(p => p.Progress is not null).Select(p => (p.Slot, p.Progress!));

    /// <param name="target">What an error about it names.</param>
    /// <param name="name">What stands before its messages.</param>
    /// <param name="bytes">Its predicted memory.</param>
    public void Start(string target, string name, long bytes, Func<IRunObserver, CancellationToken, T> work)
    {
        var slot = Enumerable.Range(0, limit).First(s => running.All(r => r.Slot != s));
        var job = EngineJob<T>.Start(action => EngineThread.Beside(action, name), work, leaving.Token);
        running.Add(new ParallelRun<T>(job, target, name, bytes, slot));
    }

    /// <summary>Hands over what was said since the last time, and takes out the runs that have ended.</summary>
    public IReadOnlyList<ParallelRun<T>> Collect(Action<ParallelRun<T>, RunEvent> say)
    {
        var ended = new List<ParallelRun<T>>();
        foreach (var run in running.ToList())
        {
            // Read before the events: what was said before the end is then still handed over.
            var isFinished = run.Job.IsFinished;
            while (run.Job.NextEvent(TimeSpan.Zero) is { } said)
                say(run, said);
            if (!isFinished)
                continue;
            running.Remove(run);
            ended.Add(run);
        }
        return ended;
    }

    /// <summary>Tells all runs to end.</summary>
    /// <returns>Whether they have, within that time.</returns>
    public bool Cancel(TimeSpan patience)
    {
        leaving.Cancel();
        var until = DateTime.UtcNow + patience;
        return running.All(r => r.Job.Wait(until - DateTime.UtcNow is { Ticks: > 0 } left ? left : TimeSpan.Zero));
    }

    /// <summary>Ends what still runs; each stays resumable.</summary>
    public void Dispose() => leaving.Cancel();
}
