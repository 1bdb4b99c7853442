namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Writes finished layers, one after another. Where a device does the work, the host and the disk would have it wait for as long as
/// itself has taken: there a layer is written while the next one is worked on.
/// </summary>
internal sealed class LayerCommits : IDisposable
{
    private Task? writing;
    private Action? afterwards;

    /// <summary>Writes a layer once the one before it is written.</summary>
    /// <param name="write">Does it, on any thread.</param>
    /// <param name="then">What follows, on the thread of the run.</param>
    /// <param name="behind">Whether the run goes on meanwhile.</param>
    public void Add(Action write, Action then, bool behind)
    {
        Finish();
        if (behind)
        {
            (writing, afterwards) = (Task.Run(write), then);
            return;
        }
        write();
        then();
    }

    /// <summary>Waits for the layer that is being written.</summary>
    /// <exception cref="Exception">Whatever its writing ended with.</exception>
    public void Finish()
    {
        if (writing is null)
            return;
        var (task, then) = (writing, afterwards!);
        writing = null;
        task.GetAwaiter().GetResult();
        then();
    }

    /// <summary>Lets what is being written come to its end. Where the run has failed, that is the error to be told.</summary>
    public void Dispose()
    {
        if (writing is not null)
            Task.WaitAny(writing);
    }
}
