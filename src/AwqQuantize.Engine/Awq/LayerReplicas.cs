using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;

namespace AwqQuantize.Engine.Awq;

/// <summary>A layer on the devices of a team: the layer itself on the first, copies that follow its changes on the others.</summary>
/// <param name="layer">Changed in place by whoever works on it.</param>
/// <param name="team">Its lead is where the layer is, unless that did not fit.</param>
internal sealed class LayerReplicas(DecoderLayer layer, DeviceTeam team) : IDisposable
{
    private readonly List<(DecoderLayer Layer, Dictionary<string, int> Seen)> copies = [];
    private bool alone;

    /// <summary>How many devices work on the layer. A layer that is on the host is worked on there.</summary>
    public int Count => alone || layer.Compute.IsHost ? 1 : team.Members.Count;

    public ComputeDevice Device(int member) => member == 0 ? layer.Compute : team.Members[member];

    /// <summary>The layer as it is now, on a member's device. A member's thread asks for its own alone, once <see cref="Prepare"/> has been called.</summary>
    public DecoderLayer On(int member) => member == 0 ? layer : copies[member - 1].Layer;

    /// <summary>Brings all copies up to date.</summary>
    /// <exception cref="Exception">For which <see cref="OutOfMemory.Is"/> holds: a copy does not fit.</exception>
    public void Prepare()
    {
        for (var member = 1; member < Count; member++)
        {
            if (copies.Count < member)
                copies.Add((layer.CopyTo(team.Members[member]), layer.Weights.Names.ToDictionary(n => n, layer.Weights.Revision)));
            var (copy, seen) = copies[member - 1];
            foreach (var name in layer.Weights.Names.Where(n => seen[n] != layer.Weights.Revision(n)))
            {
                copy.Weights[name].copy_(layer.Weights[name]);
                seen[name] = layer.Weights.Revision(name);
            }
        }
    }

    /// <summary>Gives the other devices up for this layer: the first one's memory may suffice where another's does not.</summary>
    /// <returns>Whether there were any.</returns>
    public bool GiveUp()
    {
        var had = Count > 1;
        alone = true;
        Dispose();
        return had;
    }

    public void Dispose()
    {
        foreach (var (copy, _) in copies)
            copy.Dispose();
        copies.Clear();
    }
}
