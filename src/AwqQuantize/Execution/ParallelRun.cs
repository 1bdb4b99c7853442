using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Execution;

/// <summary>One of several runs that go on at once.</summary>
/// <param name="Target">What an error about it names.</param>
/// <param name="Name">Of its model.</param>
/// <param name="Memory">Predicted, in bytes.</param>
/// <param name="Slot">Its place among those running, from 0.</param>
internal sealed record ParallelRun<T>(EngineJob<T> Job, string Target, string Name, long Memory, int Slot)
{
    public RunProgress? TakeProgress() => Job.TakeProgress();
}
