using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>A tensor that goes into the new checkpoint as float, in the family's layout and under its name.</summary>
/// <param name="FullName">Name in the checkpoint.</param>
/// <param name="Value">The values, float32. Whoever enumerates them disposes them.</param>
/// <param name="KeepFloat32">Written as float32; else in the checkpoint's half precision.</param>
public sealed record FloatTensor(string FullName, Tensor Value, bool KeepFloat32);
