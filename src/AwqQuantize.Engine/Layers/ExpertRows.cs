using static TorchSharp.torch;

namespace AwqQuantize.Engine.Layers;

/// <summary>Which (token, choice) pairs go to which expert.</summary>
internal static class ExpertRows
{
    /// <summary>For every expert that was chosen at all: the indices into the flattened choices, ascending, so that sums are the same at every run.</summary>
    /// <param name="chosen">[tokens, k] int64; index / k is the token.</param>
    public static List<(int Expert, Tensor Rows)> Of(Tensor chosen, int experts)
    {
        var flat = chosen.flatten();
        var order = flat.mul(flat.shape[0]).add_(arange(flat.shape[0], ScalarType.Int64, flat.device)).argsort(0);
        var counts = flat.bincount(null, experts).cpu().data<long>().ToArray();
        var result = new List<(int, Tensor)>();
        var start = 0L;
        for (var e = 0; e < experts; e++)
        {
            if (counts[e] > 0)
                result.Add((e, order.narrow(0, start, counts[e])));
            start += counts[e];
        }
        return result;
    }
}
