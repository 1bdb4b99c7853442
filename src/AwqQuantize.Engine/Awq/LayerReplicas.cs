using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;

namespace AwqQuantize.Engine.Awq;

/// <summary>A layer on the devices of a team: the layer itself on the first, copies that follow its changes on the others.</summary>
/// <param name="layer">Changed in place by whoever works on it.</param>
/// <param name="team">Its lead is where the layer is, unless that did not fit.</param>
internal sealed class LayerReplicas(DecoderLayer layer, DeviceTeam team) : IDisposable
{
    private readonly List<Copy> copies = [];
    private bool alone;

    /// <param name="Layer">On its own device.</param>
    /// <param name="Seen">Revisions of the layer's tensors that the copy has.</param>
    /// <param name="Taken">Revisions of the copy's tensors that the layer has.</param>
    private sealed record Copy(DecoderLayer Layer, Dictionary<string, int> Seen, Dictionary<string, int> Taken)
    {
        /// <summary>What was changed in the copy since it was made like the layer.</summary>
        public IEnumerable<string> Changed => Layer.Weights.Names.Where(n => Taken.GetValueOrDefault(n) != Layer.Weights.Revision(n));
    }

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
                copies.Add(new Copy(layer.CopyTo(team.Members[member]), layer.Weights.Names.ToDictionary(n => n, layer.Weights.Revision), []));
            var copy = copies[member - 1];
            foreach (var name in ChangedSince(copy))
                Renew(copy, name);
        }
    }

    /// <summary>Takes over what a member has changed in its copy.</summary>
    public void Collect(int member)
    {
        if (member == 0)
            return;
        var copy = copies[member - 1];
        foreach (var name in copy.Changed.ToList())
        {
            layer.Weights[name].copy_(copy.Layer.Weights[name]);
            layer.Weights.Touch(name);
            (copy.Seen[name], copy.Taken[name]) = (layer.Weights.Revision(name), copy.Layer.Weights.Revision(name));
        }
    }

    /// <summary>Undoes what all have changed since <see cref="Prepare"/>, each in tensors of its own: what one has changed, the others still have as it was.</summary>
    public void Discard()
    {
        foreach (var name in ChangedSince(copies[0]).ToList())
        {
            layer.Weights[name].copy_(copies[0].Layer.Weights[name]);
            layer.Weights.Touch(name);
        }
        foreach (var copy in copies)
            foreach (var name in copy.Changed.ToList())
                Renew(copy, name);
    }

    private IEnumerable<string> ChangedSince(Copy copy) => layer.Weights.Names.Where(n => copy.Seen[n] != layer.Weights.Revision(n));

    private void Renew(Copy copy, string name)
    {
        copy.Layer.Weights[name].copy_(layer.Weights[name]);
        (copy.Seen[name], copy.Taken[name]) = (layer.Weights.Revision(name), copy.Layer.Weights.Revision(name));
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
        foreach (var copy in copies)
            copy.Layer.Dispose();
        copies.Clear();
    }
}
