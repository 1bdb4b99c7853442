using System.Diagnostics;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>
/// Measures models layer by layer: all windows pass a layer before the next is read, so that one layer is in memory at a time and a
/// model's size does not matter.
/// </summary>
public sealed class ModelMeasurement : IDisposable
{
    private const int TokensAtOnce = 1024;

    // Elements of a chunk of logits; several such buffers live at once.
    private const long LogitElements = 1 << 23;

    private readonly EvaluationWindows windows;
    private readonly Device device;
    private readonly Action<string, double>? progress;
    private readonly CancellationToken cancel;
    private readonly List<HiddenStates> states = [];
    private readonly List<DecoderModel> models = [];

    private ModelMeasurement(EvaluationWindows windows, Device device, Action<string, double>? progress, CancellationToken cancel)
    {
        (this.windows, this.device, this.progress, this.cancel) = (windows, device, progress, cancel);
    }

    /// <summary>Measures a model, and compares it with a reference where one is given.</summary>
    /// <param name="model">Float or quantised.</param>
    /// <param name="reference">The same: what the model should behave like. It needs the same vocabulary.</param>
    /// <param name="options">Texts and windows.</param>
    /// <param name="progress">Told what is being done, and how much of all is done (0 to 1).</param>
    /// <param name="cancel">Ends the work within a second.</param>
    /// <exception cref="AwqException"><c>ModelsNotComparable</c>, <c>DeviceUnavailable</c>, or what reading texts and weights gives.</exception>
    public static AwqMeasurement Run(ModelSource model, ModelSource? reference, MeasurementOptions options,
        Action<string, double>? progress = null, CancellationToken cancel = default)
    {
        // First of all: torch remembers what was there when it was first asked for anything.
        var device = Devices.Choose(options.Device, forceCpu: false).Torch;
        var clock = Stopwatch.StartNew();
        if (reference is not null && reference.Graph.VocabularySize != model.Graph.VocabularySize)
        {
            throw new AwqException("ModelsNotComparable", AwqErrorKind.InvalidArgument,
                $"'{model.Folder.Path}' has a vocabulary of {model.Graph.VocabularySize}, '{reference.Folder.Path}' one of {reference.Graph.VocabularySize}.",
                "Compare a model with the one that it was made from.");
        }
        // AutoAWQ leaves the tokenizer to others: the reference's is the same.
        var tokenizer = reference is null || Directory.EnumerateFiles(model.Folder.Path, "token*").Any() ? model.Folder.Path : reference.Folder.Path;
        var positions = Math.Min(model.Graph.MaxPositions, reference?.Graph.MaxPositions ?? int.MaxValue);
        var windows = EvaluationWindows.Read(options, tokenizer, model.Graph.VocabularySize, positions, cancel);
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        using var run = new ModelMeasurement(windows, device, progress, cancel);
        ModelSource[] all = reference is null ? [model] : [model, reference];
        for (var i = 0; i < all.Length; i++)
            run.Walk(all[i], i, all.Length);
        var texts = run.Compare(options.Texts);
        return new AwqMeasurement
        {
            Path = model.Folder.Path, ReferencePath = reference?.Folder.Path, Context = windows.Length, Stride = windows.Stride,
            Texts = [.. texts.Select(t => t.Result())], Overall = TextFigures.Sum(texts).Result(), Duration = clock.Elapsed,
        };
    }

    /// <summary>Takes all windows through a model's layers.</summary>
    private void Walk(ModelSource source, int index, int count)
    {
        var name = Path.GetFileName(source.Folder.Path);
        var model = DecoderModel.Open(source.Graph, source.Tensors, device);
        models.Add(model);
        var bytes = 4L * windows.Ids.Count * windows.Length * source.Graph.HiddenSize;
        var spill = bytes > GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 ? Path.Combine(Path.GetTempPath(), $"awq-hidden-{Guid.NewGuid():N}") : null;
        var hidden = new HiddenStates(windows.Ids.Count, windows.Length, source.Graph.HiddenSize, spill);
        states.Add(hidden);
        ForRows((from, rows) =>
        {
            var ids = tensor(windows.Ids.Skip(from).Take(rows).SelectMany(w => w).ToArray(), [rows, windows.Length]);
            hidden.Store(from, model.Embed(ids));
        });
        model.ReleaseEmbedding();
        for (var i = 0; i < source.Graph.LayerCount; i++)
        {
            // The logits at the end are counted as one more layer.
            progress?.Invoke($"{name}: layer {i + 1} of {source.Graph.LayerCount}", (index + (double)i / (source.Graph.LayerCount + 1)) / count);
            using var layer = model.LoadLayer(i);
            ForRows((from, rows) => hidden.Store(from, layer.Forward(hidden.View(from, rows).to(layer.Device))));
        }
        NativeHeap.Trim();
    }

    private void ForRows(Action<int, int> body)
    {
        var atOnce = Math.Max(1, TokensAtOnce / windows.Length);
        for (var from = 0; from < windows.Ids.Count; from += atOnce)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            body(from, Math.Min(atOnce, windows.Ids.Count - from));
        }
    }

    private List<TextFigures> Compare(IReadOnlyList<string> files)
    {
        progress?.Invoke("logits", (double)models[0].Graph.LayerCount / (models[0].Graph.LayerCount + 1));
        var texts = files.Select(f => new TextFigures(f, models.Count > 1)).ToList();
        var chunk = (int)Math.Max(1, LogitElements / models[0].Graph.VocabularySize);
        for (var window = 0; window < windows.Ids.Count; window++)
        {
            var sums = new PredictionSums();
            for (var from = windows.FirstCounted(window); from < windows.Length - 1; from += chunk)
            {
                cancel.ThrowIfCancellationRequested();
                sums.Add(Predict(window, from, Math.Min(chunk, windows.Length - 1 - from)));
            }
            texts[windows.Texts[window]].Add(sums);
        }
        return texts;
    }

    private PredictionSums Predict(int window, int from, int count)
    {
        using var scope = NewDisposeScope();
        var targets = tensor(windows.Ids[window].AsSpan(from + 1, count).ToArray()).to(device).unsqueeze(1);
        var q = LogProbabilities(0, window, from, count);
        var sums = new PredictionSums { Count = count, Loss = Loss(q, targets) };
        if (models.Count == 1)
            return sums;
        var p = LogProbabilities(1, window, from, count);
        sums.ReferenceLoss = Loss(p, targets);
        sums.Hits = p.argmax(1).eq(q.argmax(1)).sum().item<long>();
        sums.Divergence = p.exp().mul_(p.sub(q)).sum(ScalarType.Float64).item<double>();
        return sums;
    }

    private Tensor LogProbabilities(int index, int window, int from, int count)
    {
        var hidden = states[index].View(window, 1).narrow(1, from, count).to(device);
        return nn.functional.log_softmax(models[index].Logits(hidden)[0], 1);
    }

    private static double Loss(Tensor logProbabilities, Tensor targets) =>
        -logProbabilities.gather(1, targets).sum(ScalarType.Float64).item<double>();

    public void Dispose()
    {
        foreach (var state in states)
            state.Dispose();
        foreach (var model in models)
            model.Dispose();
    }
}
