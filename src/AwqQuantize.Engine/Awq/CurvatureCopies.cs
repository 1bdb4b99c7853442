using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Engine.Awq;

/// <summary>A curvature on the devices that share a layer, made where it is first asked for.</summary>
/// <param name="own">On the first device.</param>
/// <param name="replicas">Knows the others.</param>
internal sealed class CurvatureCopies(Curvature own, LayerReplicas replicas) : IDisposable
{
    private readonly Dictionary<int, Curvature> copies = [];

    /// <summary>How many devices there are.</summary>
    public int Count => own.Device.IsHost ? 1 : replicas.Count;

    public ComputeDevice Device(int member) => replicas.Device(member);

    public Curvature On(int member) => member == 0 ? own : copies[member];

    /// <summary>Makes the copies of the first so many members.</summary>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: one does not fit.</exception>
    public void Prepare(int count)
    {
        for (var member = 1; member < count; member++)
            if (!copies.ContainsKey(member))
                copies.Add(member, own.CopyTo(replicas.Device(member)));
    }

    /// <summary>See <see cref="Curvature.Rescale"/>.</summary>
    public void Rescale(float[] s)
    {
        own.Rescale(s);
        foreach (var copy in copies.Values)
            copy.Rescale(s);
    }

    public void Dispose()
    {
        foreach (var copy in copies.Values)
            copy.Dispose();
        copies.Clear();
    }
}
