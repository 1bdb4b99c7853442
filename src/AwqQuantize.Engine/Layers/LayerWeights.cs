using static TorchSharp.torch;
namespace AwqQuantize.Engine.Layers;
public sealed class LayerWeights { public Tensor this[string n] => throw new KeyNotFoundException(n); public bool Contains(string n) => false; }
