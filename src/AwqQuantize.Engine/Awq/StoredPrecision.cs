using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>Parameters that stay float are stored in float16; this makes them so while the layer is still worked on.</summary>
public static class StoredPrecision
{
    /// <summary>Rounds float32 parameters to float16 values, in place.</summary>
    public static void Round(IEnumerable<Tensor> parameters)
    {
        foreach (var parameter in parameters.Where(p => p.dtype == ScalarType.Float32))
        {
            using var half = parameter.to(ScalarType.Float16);
            parameter.copy_(half);
        }
    }
}
