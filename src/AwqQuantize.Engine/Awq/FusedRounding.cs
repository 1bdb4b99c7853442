using System.Runtime.CompilerServices;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// A device's fused kernels, once they have shown on a small linear that they do what torch's operations do there. Where they do not,
/// or cannot be had, the operations do the work: slower, and the same.
/// </summary>
internal static unsafe class FusedRounding
{
    private const int Rows = 32, Columns = 256, GroupSize = 64;

    private static readonly ConditionalWeakTable<ComputeDevice, Verdict> Verdicts = [];

    private sealed record Verdict(IRoundingKernels? Kernels, string? Reason);

    /// <summary>The kernels to use on a device; null for torch's operations.</summary>
    public static IRoundingKernels? Of(ComputeDevice device) => Judge(device).Kernels;

    /// <summary>Why a device's kernels are not used; null where they are.</summary>
    public static string? WhyNot(ComputeDevice device) => Judge(device).Reason;

    private static Verdict Judge(ComputeDevice device)
    {
        lock (Verdicts)
        {
            if (!Verdicts.TryGetValue(device, out var verdict))
                Verdicts.Add(device, verdict = device.Kernels(out var reason) is { } kernels ? Try(device, kernels) : new Verdict(null, reason));
            return verdict;
        }
    }

    private static Verdict Try(ComputeDevice device, IRoundingKernels kernels)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var random = new Random(7);
        // Neighbours that explain each other, so that rounding without its compensation would show.
        var (weights, inputs) = (Normal(random, Rows, 0), Normal(random, 2 * Columns, 0.9));
        var settings = new AwqSettings { GroupSize = GroupSize };
        try
        {
            using var curvature = Curvature.From(device.Upload(inputs.t().mm(inputs).div_(2 * Columns)).DetachFromDisposeScope(), device);
            var expected = TensorRounding.Round(device.Upload(weights.clone()), curvature, Columns * 8, settings, null, out var loss);
            var found = TensorRounding.Round(device.Upload(weights.clone()), curvature, Columns * 8, settings, kernels, out var fused);
            var same = expected.Codes.Zip(found.Codes, (a, b) => a == b ? 1.0 : 0).Average();
            return same > 0.97 && Math.Abs(fused / loss - 1) < 0.01 ? new Verdict(kernels, null)
                : new Verdict(null, $"they differ from torch's operations ({same:P1} of the codes are the same, the loss is {fused / loss:F3} times as large)");
        }
        catch (Exception e) when (e is InvalidOperationException or System.Runtime.InteropServices.ExternalException || OutOfMemory.Is(e))
        {
            return new Verdict(null, OutOfMemory.FirstLine(e));
        }
    }

    /// <summary>[rows, columns], each element like the one before it as far as <paramref name="memory"/> says.</summary>
    private static Tensor Normal(Random random, int rows, double memory)
    {
        var values = new float[rows * Columns];
        for (var i = 0; i < values.Length; i++)
        {
            var own = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            values[i] = (float)(i % Columns == 0 ? own : memory * values[i - 1] + Math.Sqrt(1 - memory * memory) * own);
        }
        return tensor(values, [rows, Columns]);
    }
}
