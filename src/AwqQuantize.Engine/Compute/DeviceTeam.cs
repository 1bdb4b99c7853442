using System.Runtime.ExceptionServices;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>Devices that share the work on a layer. The first leads: what is not shared is done on it.</summary>
public sealed class DeviceTeam
{
    /// <param name="members">At least one.</param>
    public DeviceTeam(IReadOnlyList<ComputeDevice> members) =>
        Members = members.Count > 0 ? members : throw new ArgumentException("A team has at least one member.");

    /// <summary>A team of one.</summary>
    public static DeviceTeam Of(ComputeDevice device) => new([device]);

    public IReadOnlyList<ComputeDevice> Members { get; }

    public ComputeDevice Lead => Members[0];

    /// <summary>What results depend on: the kind of the devices and how many there are, for that decides the order of sums; not which of several alike.</summary>
    public string Kind => Lead.Name.Split(':')[0] + (Members.Count > 1 ? $" x {Members.Count}" : "");

    public override string ToString() => string.Join(',', Members);

    /// <summary>
    /// Lets some members work at the same time, each on a thread of its own, for a device's answers are waited for. Tensors that are
    /// to outlive the work are detached from its dispose scope. Results come in the order of the members, whoever is done first.
    /// </summary>
    /// <param name="count">The first so many.</param>
    /// <param name="work">Given the member's index.</param>
    /// <exception cref="Exception">That of the first member that failed, once all have come to an end; the results of the others are disposed.</exception>
    public static T[] Share<T>(int count, Func<int, T> work)
    {
        if (count == 1)
            return [work(0)];
        var results = new T[count];
        var failures = new ExceptionDispatchInfo?[count];
        var threads = Enumerable.Range(0, count).Select(member => new Thread(() =>
        {
            try
            {
                // Both belong to the thread.
                using var guard = no_grad();
                using var scope = NewDisposeScope();
                results[member] = work(member);
            }
            catch (Exception e)
            {
                failures[member] = ExceptionDispatchInfo.Capture(e);
            }
        }) { IsBackground = true, Name = $"device {member}" }).ToList();
        foreach (var thread in threads)
            thread.Start();
        foreach (var thread in threads)
            thread.Join();
        if (Array.Find(failures, f => f is not null) is { } failure)
        {
            foreach (var result in results.OfType<IDisposable>())
                result.Dispose();
            failure.Throw();
        }
        return results;
    }
}
