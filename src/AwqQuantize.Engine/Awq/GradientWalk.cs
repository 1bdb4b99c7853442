using System.IO.Hashing;
using System.Runtime.InteropServices;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Follows the float model's loss back to the outputs of all linears. The loss is -log p of tokens drawn from the model's own
/// predictions, whose gradients g give the Fisher information E[g gᵀ]: the second derivative of the divergence KL(float‖changed) at the
/// float model. Layers pass by one at a time, forwards and then backwards; each runs a second time for its gradients.
/// </summary>
/// <param name="model">The float model.</param>
/// <param name="rows">Rows of equal length.</param>
/// <param name="first">What is drawn for a row depends on its number; that of the first of them.</param>
/// <param name="step">Between the numbers of two rows.</param>
/// <param name="folder">Where hidden states go that shall not stay in memory; null to keep them there.</param>
/// <param name="cancel">Ends the work within a second or so.</param>
public sealed class GradientWalk(DecoderModel model, IReadOnlyList<int[]> rows, int first, int step, string? folder, CancellationToken cancel)
{
    /// <summary>Tokens that run at once, unless a row is longer.</summary>
    public const int Tokens = 1024;

    /// <summary>Most elements of a chunk of logits, unless the vocabulary is larger; five such buffers live at once.</summary>
    public const int LogitElements = 1 << 22;

    private readonly int length = rows[0].Length;
    private readonly ScalarType products = model.Compute.GradientType(model.Graph.HiddenSize);

    /// <summary>What was gathered of a linear.</summary>
    /// <param name="Norms">‖g‖ of each token that reached it.</param>
    /// <param name="Grams">Σ g gᵀ / ‖g‖ of each <see cref="CoupledRounding.Part"/> of its outputs, in host memory; none where they were not wanted.</param>
    public sealed record Gathered(IReadOnlyList<float> Norms, IReadOnlyList<Tensor> Grams);

    /// <summary>Runs it.</summary>
    /// <param name="grams">Whether Gram matrices are wanted, too.</param>
    /// <param name="done">Told what was gathered of a layer's linears, by module, from the last layer to the first. Tensors are valid during the call.</param>
    /// <param name="progress">Told what is being worked on, and how much is done (0 to 1).</param>
    public void Run(bool grams, Action<int, IReadOnlyDictionary<string, Gathered>> done, Action<string, double>? progress = null)
    {
        var layers = model.Graph.LayerCount;
        var states = new List<HiddenStates>();
        try
        {
            for (var i = 0; i <= layers; i++)
            {
                progress?.Invoke(i == 0 ? "embedding" : $"forwards, layer {i} of {layers}", 0.3 * i / layers);
                states.Add(New(i));
                Forward(i, states);
            }
            model.ReleaseEmbedding();
            progress?.Invoke("predictions", 0.3);
            Begin(states[layers]);
            model.ReleaseHead();
            for (var i = layers - 1; i >= 0; i--)
            {
                progress?.Invoke($"backwards, layer {i + 1} of {layers}", 0.4 + 0.6 * (layers - 1 - i) / layers);
                Backward(i, states[i], states[layers], grams, done);
                states[i].Dispose();
                NativeHeap.Trim();
            }
        }
        finally
        {
            foreach (var state in states)
                state.Dispose();
        }
    }

    private HiddenStates New(int index) => new(rows.Count, length, model.Graph.HiddenSize, folder is null ? null : Path.Combine(folder, $"gradients-{index}.spill"), user: model.Compute);

    /// <summary>The hidden states that enter a layer; behind the last one, those that leave it.</summary>
    private void Forward(int index, List<HiddenStates> states)
    {
        using var guard = no_grad();
        using var layer = index == 0 ? null : Load(index - 1);
        ForRows((from, count) =>
        {
            if (layer is null)
                states[0].Store(from, model.Embed(tensor(rows.Skip(from).Take(count).SelectMany(r => r).Select(i => (long)i).ToArray(), [count, length])));
            else
                states[index].Store(from, layer.Forward(states[index - 1].View(from, count)));
            if (layer is not null)
                states[index - 1].Release(from, count);
        });
    }

    /// <summary>Puts the loss's gradients in the place of what left the last layer.</summary>
    private void Begin(HiddenStates states)
    {
        var chunk = (int)Math.Clamp(LogitElements / model.Graph.VocabularySize, 1, length);
        for (var row = 0; row < rows.Count; row++)
            for (var from = 0; from < length; from += chunk)
            {
                cancel.ThrowIfCancellationRequested();
                using var scope = NewDisposeScope();
                var count = Math.Min(chunk, length - from);
                var place = states.View(row, 1).narrow(1, from, count);
                var leaf = place.to(model.Compute.Torch, copy: true).requires_grad_(true);
                var logits = model.LogitsForGradient(leaf);
                using var guard = no_grad();
                var gradient = logits.detach()[0].softmax(1); // d -log p[drawn] / d logits = p - 1[drawn]
                var upTo = gradient.cumsum(1);
                var drawn = searchsorted(upTo, upTo.narrow(1, -1, 1) * tensor(Draws(row, from, count), [count, 1]).to(upTo.device), right: true).clamp_max(gradient.shape[1] - 1);
                gradient.scatter_add_(1, drawn, full_like(drawn, -1, ScalarType.Float32));
                logits.backward([gradient.unsqueeze(0)]);
                place.copy_(leaf.grad!);
            }
    }

    /// <summary>Numbers in [0, 1), the same ones for a token whatever runs beside it.</summary>
    private float[] Draws(int row, int from, int count)
    {
        var result = new float[count];
        Span<int> key = [first + row * step, 0];
        for (var i = 0; i < count; i++)
        {
            key[1] = from + i;
            result[i] = (XxHash64.HashToUInt64(MemoryMarshal.AsBytes(key)) >> 40) * (1f / (1 << 24));
        }
        return result;
    }

    private void Backward(int index, HiddenStates entrances, HiddenStates gradients, bool grams, Action<int, IReadOnlyDictionary<string, Gathered>> done)
    {
        using var scope = NewDisposeScope();
        using var layer = Load(index);
        var wanted = layer.Graph.Linears.Where(l => l.KeepFloatReason is null).Select(l => l.Module).ToHashSet();
        var (norms, matrices) = (new Dictionary<string, List<float>>(), new Dictionary<string, IReadOnlyList<Tensor>>());
        ForRows((from, count) =>
        {
            var leaves = new List<(string Module, Tensor Leaf)>();
            layer.Weights.OutputProbe = (module, output) =>
            {
                if (!wanted.Contains(module))
                    return output;
                // A sum with zeros, whose gradient is that of the output.
                var leaf = zeros_like(output).DetachFromDisposeScope().requires_grad_(true);
                leaves.Add((module, leaf));
                return output.add(leaf);
            };
            try
            {
                var entrance = entrances.View(from, count).to(layer.Device, copy: true).requires_grad_(true);
                layer.ForwardForGradient(entrance).backward([gradients.View(from, count).to(layer.Device)]);
                gradients.Store(from, entrance.grad!);
                entrances.Release(from, count);
                using var guard = no_grad();
                foreach (var (module, leaf) in leaves)
                    if (leaf.grad is { } gradient)
                        Gather(module, gradient.reshape(-1, leaf.shape[^1]), grams, norms, matrices);
            }
            finally
            {
                layer.Weights.OutputProbe = null;
                foreach (var (_, leaf) in leaves)
                    leaf.Dispose();
            }
        });
        done(index, norms.ToDictionary(n => n.Key, n => new Gathered(n.Value, [.. matrices.GetValueOrDefault(n.Key, []).Select(ComputeDevice.Download)])));
        foreach (var matrix in matrices.Values.SelectMany(m => m))
            matrix.Dispose();
    }

    private static void Gather(string module, Tensor gradient, bool grams, Dictionary<string, List<float>> norms, Dictionary<string, IReadOnlyList<Tensor>> matrices)
    {
        var size = gradient.pow(2).sum([1L]).sqrt_();
        if (!norms.TryGetValue(module, out var list))
            norms[module] = list = [];
        list.AddRange(ComputeDevice.Download(size).data<float>().ToArray());
        if (!grams)
            return;
        var outputs = (int)gradient.shape[1];
        var parts = Enumerable.Range(0, CoupledRounding.Parts(outputs)).Select(p => CoupledRounding.Part(outputs, p)).ToList();
        if (!matrices.TryGetValue(module, out var sums))
            matrices[module] = sums = [.. parts.Select(p => zeros([p.Count, p.Count], device: gradient.device).DetachFromDisposeScope())];
        var scaled = gradient.mul(size.clamp_min(1e-30f).rsqrt_().unsqueeze(1));
        for (var p = 0; p < parts.Count; p++)
        {
            var own = scaled.narrow(1, parts[p].First, parts[p].Count);
            sums[p].addmm_(own.t(), own, 1, 1);
        }
    }

    private DecoderLayer Load(int index)
    {
        var layer = model.LoadLayer(index);
        layer.Weights.ForwardIn(products);
        return layer;
    }

    private void ForRows(Action<int, int> body)
    {
        var atOnce = Math.Max(1, Tokens / length);
        for (var from = 0; from < rows.Count; from += atOnce)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            body(from, Math.Min(atOnce, rows.Count - from));
        }
    }
}
