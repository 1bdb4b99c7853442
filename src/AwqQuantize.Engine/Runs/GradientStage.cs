using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Follows the model's loss back to the outputs of its linears, slice of rows by slice, and keeps what it says in the run folder: a file for
/// each layer and slice. A slice counts as finished once the first layer's file is there, which is written last.
/// </summary>
internal static unsafe class GradientStage
{
    private const string Norms = ".norms", Gram = ".gram.";

    /// <summary>Does what an earlier start of this run has not done.</summary>
    public static void Run(GradientPlan plan, DecoderModel model, TokenRows rows, RunFolder run, Action<string, double> progress, CancellationToken cancel)
    {
        for (var slice = 0; slice < plan.Slices; slice++)
        {
            var own = slice;
            if (File.Exists(run.Gradients(0, slice)))
                continue;
            var some = Enumerable.Range(0, GradientPlan.RowsOf(rows.Rows.Count, plan.Slices, slice)).Select(i => rows.Rows[own + i * plan.Slices]).ToList();
            new GradientWalk(model, some, slice, plan.Slices, plan.OnDisk ? run.Path : null, cancel).Run(slice == 0, (layer, gathered) => Write(run.Gradients(layer, own), gathered),
                (detail, fraction) => progress($"{detail}, part {own + 1} of {plan.Slices}", (own + fraction) / plan.Slices));
        }
    }

    private static void Write(string path, IReadOnlyDictionary<string, GradientWalk.Gathered> gathered)
    {
        var tensors = new List<TensorPayload>();
        foreach (var (module, linear) in gathered)
        {
            tensors.Add(TensorPayload.From(module + Norms, TensorDtype.F32, [linear.Norms.Count], linear.Norms.ToArray()));
            for (var part = 0; part < linear.Grams.Count; part++)
                tensors.Add(TensorPayload.FromPointer($"{module}{Gram}{part}", TensorDtype.F32, linear.Grams[part].shape, (byte*)TensorMemory.Floats(linear.Grams[part]), 4 * linear.Grams[part].numel()));
        }
        PartFile.Write(path, [.. tensors.OrderBy(t => t.Name, StringComparer.Ordinal)]);
    }

    /// <summary>What is known of a layer's linears.</summary>
    /// <param name="warn">Told of gradients that overflowed: stable id and text.</param>
    public static LayerGradients Read(GradientPlan plan, LayerGraph layer, TokenRows rows, RunFolder run, Action<string, string> warn)
    {
        var overflowed = new HashSet<string>();
        var norms = layer.Linears.Where(l => l.Expert < 0).ToDictionary(l => l.Module, _ => new float[rows.Tokens]);
        for (var slice = 0; slice < plan.Slices; slice++)
        {
            using var file = SafetensorsFile.Open(run.Gradients(layer.Index, slice));
            foreach (var (name, entry) in file.Tensors.Where(t => t.Key.EndsWith(Norms, StringComparison.Ordinal)))
                if (!IsFinite(new ReadOnlySpan<float>(file.Pointer(entry), checked((int)entry.ElementCount))))
                    overflowed.Add(name[..^Norms.Length]);
            var count = GradientPlan.RowsOf(rows.Rows.Count, plan.Slices, slice);
            foreach (var module in norms.Keys.ToList())
            {
                // Not every linear is reached by every token.
                if (!file.Tensors.TryGetValue(module + Norms, out var entry) || entry.ElementCount != (long)count * rows.Length)
                {
                    norms.Remove(module);
                    continue;
                }
                var values = new ReadOnlySpan<float>(file.Pointer(entry), count * rows.Length);
                for (var i = 0; i < count; i++)
                    values.Slice(i * rows.Length, rows.Length).CopyTo(norms[module].AsSpan((slice + i * plan.Slices) * rows.Length));
            }
        }
        if (overflowed.Count > 0)
            warn("GradientsNotFinite", $"Layer {layer.Index}: the gradients of the model's loss by the outputs of {string.Join(", ", overflowed.Order(StringComparer.Ordinal))} overflowed; these are fitted to their outputs as such.");
        foreach (var module in overflowed)
            norms.Remove(module);
        return new LayerGradients(norms, rows.Length, module => overflowed.Contains(module) ? null : ReadGrams(run.Gradients(layer.Index, 0), module));
    }

    private static bool IsFinite(ReadOnlySpan<float> values)
    {
        foreach (var value in values)
            if (!float.IsFinite(value))
                return false;
        return true;
    }

    private static List<Tensor>? ReadGrams(string path, string module)
    {
        using var file = SafetensorsFile.Open(path);
        var result = new List<Tensor>();
        while (file.Tensors.TryGetValue($"{module}{Gram}{result.Count}", out var entry))
        {
            var matrix = empty(entry.Shape);
            new ReadOnlySpan<byte>(file.Pointer(entry), checked((int)entry.ByteLength)).CopyTo(new Span<byte>(TensorMemory.Floats(matrix), checked((int)entry.ByteLength)));
            result.Add(matrix);
        }
        return result.Count == 0 ? null : result;
    }
}
