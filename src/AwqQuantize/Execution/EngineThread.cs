using System.Collections.Concurrent;

namespace AwqQuantize.Execution;

/// <summary>
/// The one thread on which the engine runs, for the life of the process: torch keeps its dispose scopes and inference mode
/// per thread. Work of several runspaces is done one after the other; only a user who asks for several
/// runs at once gets threads beside it.
/// </summary>
internal static class EngineThread
{
    private static readonly BlockingCollection<Action> Queue = [];
    private static readonly Lazy<Thread> Worker = new(Start);

    /// <summary>Queues work. It must not throw: an exception on this thread would end the process.</summary>
    public static void Post(Action work)
    {
        _ = Worker.Value;
        Queue.Add(work);
    }

    /// <summary>Does work on a thread of its own, beside the engine's. It must not throw either.</summary>
    /// <param name="name">For those who look at the process.</param>
    public static void Beside(Action work, string name) => Start(work, "AwqQuantize " + name);

    private static Thread Start() => Start(Run, "AwqQuantize engine");

    private static Thread Start(Action work, string name)
    {
        // Deep recursion in JSON and expression trees is bounded; the stack is that of a main thread.
        var thread = new Thread(() => work(), maxStackSize: 8 << 20) { IsBackground = true, Name = name };
        thread.Start();
        return thread;
    }

    private static void Run()
    {
        foreach (var work in Queue.GetConsumingEnumerable())
            work();
    }
}
