using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Where a model's weights come from: a float checkpoint, or a quantised one that is dequantised on reading.</summary>
public interface ITensorSource
{
    bool Contains(string name);

    /// <summary>Shape of a tensor as stored. Throws when it does not exist.</summary>
    long[] Shape(string name);

    /// <summary>A new float32 (integers: int64) tensor on the given device; the caller owns it. Throws when it does not exist.</summary>
    Tensor Read(string name, Device device);

    /// <summary>Some rows of a matrix, [rows, width] float32, without the rest of it; null where the source cannot do that.</summary>
    /// <param name="name">A matrix.</param>
    /// <param name="rows">Indices of its rows, in any order.</param>
    /// <param name="device">Where the result is.</param>
    Tensor? ReadRows(string name, ReadOnlySpan<long> rows, Device device) => null;
}
