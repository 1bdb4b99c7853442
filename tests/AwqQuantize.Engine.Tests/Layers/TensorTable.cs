using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>A checkpoint that lies in memory.</summary>
internal sealed class TensorTable(IReadOnlyDictionary<string, Tensor> tensors) : ITensorSource
{
    public IReadOnlyDictionary<string, long[]> Shapes => tensors.ToDictionary(t => t.Key, t => t.Value.shape);

    public bool Contains(string name) => tensors.ContainsKey(name);

    public long[] Shape(string name) => tensors[name].shape;

    public Tensor Read(string name, Device device) => tensors[name].clone();
}
