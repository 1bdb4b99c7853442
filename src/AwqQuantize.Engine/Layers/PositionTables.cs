using System.Runtime.InteropServices;
using AwqQuantize.Engine.Architectures;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>
/// Rotary tables and attention masks, kept per length so that layers share them. Those of another length are dropped: a run uses
/// one length at a time.
/// </summary>
public sealed class PositionTables(Device device) : IDisposable
{
    private readonly Dictionary<string, Tensor[]> tables = [];
    private long current;

    /// <summary>cos and sin, each [length, dims/2] float32.</summary>
    internal (Tensor Cos, Tensor Sin) Rotary(RotarySpec rotary, long length)
    {
        var (frequencies, factor) = rotary.Frequencies((int)length);
        var key = $"rotary {factor} {Convert.ToBase64String(MemoryMarshal.AsBytes<float>(frequencies))}";
        var pair = Get(key, length, () =>
        {
            var angles = arange(length, ScalarType.Float32).unsqueeze(1).mul(tensor(frequencies).unsqueeze(0));
            return [angles.cos().mul_(factor).to(device), angles.sin().mul_(factor).to(device)];
        });
        return (pair[0], pair[1]);
    }

    /// <summary>Additive mask [length, length]: 0 where a query (row) sees a key, minus infinity elsewhere.</summary>
    internal Tensor Mask(int window, int chunk, long length) => Get($"mask {window} {chunk}", length, () =>
    {
        var position = arange(length, ScalarType.Int64);
        var (query, key) = (position.unsqueeze(1), position.unsqueeze(0));
        var hidden = key.gt(query);
        if (window > 0)
            hidden = hidden.logical_or(key.le(query - window));
        if (chunk > 0)
            hidden = hidden.logical_or(key.floor_divide(chunk).ne(query.floor_divide(chunk)));
        return [zeros([length, length]).masked_fill_(hidden, double.NegativeInfinity).to(device)];
    })[0];

    private Tensor[] Get(string key, long length, Func<Tensor[]> make)
    {
        if (current != length)
        {
            Dispose();
            current = length;
        }
        if (!tables.TryGetValue(key, out var table))
        {
            using var scope = NewDisposeScope();
            table = make();
            foreach (var tensor in table)
                tensor.DetachFromDisposeScope();
            tables.Add(key, table);
        }
        return table;
    }

    public void Dispose()
    {
        foreach (var tensor in tables.Values.SelectMany(t => t))
            tensor.Dispose();
        tables.Clear();
    }
}
