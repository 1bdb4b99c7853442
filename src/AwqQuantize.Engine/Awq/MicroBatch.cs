using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// How many calibration rows run at once, and the retreat when memory runs out: fewer rows at once, which costs nothing; on a
/// device, hidden states and then the layer itself to the host; then hidden states on disk; then rows cut to half their length, down to 64 tokens. Each step is said once.
/// </summary>
/// <param name="rows">Rows at once, to begin with.</param>
/// <param name="spill">Where hidden states go when they have to leave memory.</param>
/// <param name="warn">Told of each step: stable id and text.</param>
/// <param name="probe">Called at the start of each stage with its name; tests let memory run out there.</param>
public sealed class MicroBatch(int rows, string spill, Action<string, string> warn, Action<string>? probe = null)
{
    /// <summary>Shortest rows that are still worth calibrating with.</summary>
    public const int ShortestLength = 64;

    private bool isWithin;

    /// <summary>Rows that run at once.</summary>
    public int Rows { get; private set; } = Math.Max(1, rows);

    /// <summary>
    /// Gives up a device for the layer that is worked on, when devices' memory does not suffice for single rows: first those beside
    /// the one that leads, then that one, for the host. Says what was given up, or null where the layer is on the host already; the
    /// layers after it try the devices again.
    /// </summary>
    public Func<(string Id, string Text)?>? LeaveDevice { get; set; }

    /// <summary>For work within something that is guarded: it gives nothing up itself, so that whoever guards the whole does.</summary>
    public MicroBatch Within() => new(Rows, spill, warn, probe) { isWithin = true };

    /// <summary>Announces a stage.</summary>
    public void Enter(string stage) => probe?.Invoke(stage);

    /// <summary>Runs something that may be run again, until memory suffices.</summary>
    public T Guard<T>(string stage, HiddenStates hidden, Func<T> work)
    {
        while (true)
            try
            {
                Enter(stage);
                return work();
            }
            catch (Exception e) when (!isWithin && OutOfMemory.Is(e))
            {
                Retreat(hidden, e);
            }
    }

    /// <summary>Gives up one thing.</summary>
    /// <exception cref="AwqException"><c>OutOfMemory</c>: there is nothing left to give up.</exception>
    public void Retreat(HiddenStates hidden, Exception cause)
    {
        NativeHeap.Trim();
        if (Rows > 1)
        {
            Rows /= 2;
            warn("MicroBatchReduced", $"Memory ran out ({OutOfMemory.Reason(cause)}): going on with {Rows} rows at once. The result is not affected.");
        }
        else if (hidden.OnDevice)
        {
            hidden.MoveToHost();
            warn("HiddenStatesOnHost", $"The device's memory ran out ({OutOfMemory.Reason(cause)}): hidden states are kept in the host's from here on. The result is not affected.");
        }
        else if (OutOfMemory.OnDevice(cause) && LeaveDevice?.Invoke() is { } left)
            warn(left.Id, $"The device's memory ran out ({OutOfMemory.Reason(cause)}): {left.Text}");
        else if (!hidden.OnDisk)
        {
            hidden.MoveTo(spill);
            warn("HiddenStatesOnDisk", $"Memory ran out ({OutOfMemory.Reason(cause)}): hidden states are kept on disk from here on. The result is not affected.");
        }
        else if (hidden.Length / 2 >= ShortestLength)
        {
            hidden.Truncate(hidden.Length / 2);
            warn("SequenceLengthReduced", $"Memory ran out ({OutOfMemory.Reason(cause)}): going on with sequences of {hidden.Length} tokens.");
        }
        else
            throw new AwqException("OutOfMemory", AwqErrorKind.LimitExceeded,
                $"Memory does not suffice even for single rows of {hidden.Length} tokens with hidden states on disk ({OutOfMemory.Reason(cause)}).",
                "Free memory, or use a machine with more; the same command then goes on from the last finished layer.", cause);
    }
}
