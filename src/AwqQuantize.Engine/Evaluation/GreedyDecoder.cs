using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Tokenization;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>
/// Continues a prompt with the likeliest token each time. There is no cache of keys and values: it is for a few words that show that
/// a checkpoint works, and runs a model that does not fit in memory as well.
/// </summary>
public static class GreedyDecoder
{
    /// <summary>The tokenizer of a checkpoint, or else of its source.</summary>
    public static TextTokenizer TokenizerOf(string path, string? source) =>
        TextTokenizer.Load(source is null || Directory.EnumerateFiles(path, "token*").Any() ? path : source);

    /// <returns>The tokens after the prompt, up to the end of the text or <paramref name="most"/>.</returns>
    public static int[] Continue(ModelSource source, TextTokenizer tokenizer, string prompt, int most, string device,
        Action<string, double>? progress = null, CancellationToken cancel = default)
    {
        TorchRuntime.EnsureLoaded();
        var on = Devices.Choose(device, forceCpu: false).Torch;
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        using var model = DecoderModel.Open(source.Graph, source.Tensors, on);
        using var layers = new LayerCache(model);
        var ids = tokenizer.Encode(prompt, addSpecialTokens: true).Select(i => (long)i).ToList();
        var start = ids.Count;
        while (ids.Count - start < most && ids.Count < source.Graph.MaxPositions)
        {
            progress?.Invoke($"token {ids.Count - start + 1} of {most}", (double)(ids.Count - start) / most);
            using var step = NewDisposeScope();
            var hidden = model.Embed(tensor(ids.ToArray(), [1, ids.Count]));
            for (var i = 0; i < source.Graph.LayerCount; i++)
            {
                cancel.ThrowIfCancellationRequested();
                hidden = layers.Forward(i, hidden);
            }
            var next = model.Logits(hidden.narrow(1, ids.Count - 1, 1)).argmax(-1).item<long>();
            if (next == tokenizer.EosId)
                break;
            ids.Add(next);
        }
        return [.. ids.Skip(start).Select(i => (int)i)];
    }

    /// <summary>Keeps layers for the next token where the whole model fits in a third of the memory.</summary>
    private sealed class LayerCache(DecoderModel model) : IDisposable
    {
        private readonly DecoderLayer?[] kept = new DecoderLayer?[model.Graph.LayerCount];

        private readonly bool keeps = 4 * model.Graph.Layers.Sum(l => l.ElementCount)
            < GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 3;

        public Tensor Forward(int index, Tensor hidden)
        {
            if (keeps)
                return (kept[index] ??= model.LoadLayer(index)).Forward(hidden);
            using var layer = model.LoadLayer(index);
            return layer.Forward(hidden);
        }

        public void Dispose()
        {
            foreach (var layer in kept)
                layer?.Dispose();
        }
    }
}
