using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Reports;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Runs;

/// <summary>The layers of a run, one after another.</summary>
public sealed partial class QuantizationRun
{
    private void Layers(DecoderModel model, RunFolder run, ProgressMeter meter, int first, Batching batching)
    {
        if (first == 0 && !IsSane(model, meter))
        {
            plain = true;
            return;
        }
        KeepSensitive(model, run, meter, batching);
        if (first == graph.LayerCount)
            return;
        FollowLoss(model, run, meter);
        using var hidden = Enter(model, run, first, batching);
        meter.Begin(first);
        var settings = options.Settings with { KeptInputBytes = batching.KeptInputBytes };
        var finished = Enumerable.Range(0, first).Select(run.ReadOutcome).ToList();
        using var layers = new LayerPrefetch(model, ahead: !team!.Lead.IsHost);
        using var commits = new LayerCommits();
        var saved = Stopwatch.StartNew();
        var batch = new MicroBatch(batching.RowsAtOnce, run.Spill, Warn, probe);
        for (var i = first; i < graph.LayerCount; i++)
        {
            var whole = Stopwatch.StartNew();
            cancel.ThrowIfCancellationRequested();
            using var layer = layers.Take(i);
            if (layer.Compute != team.Lead)
                Warn("LayerOnCpu", $"Layer {i} does not fit the memory of {team.Lead}: it is worked on by the CPU.");
            CheckFinite(layer);
            // The disk works on the next layer while the processor works on this one.
            if (i + 1 < graph.LayerCount)
                foreach (var name in graph.Layers[i + 1].TensorNames.Where(folder.Tensors.ContainsKey))
                    folder.Prefetch(name);
            var quantizer = new LayerQuantizer(layer, hidden, settings, StayFloat(layer.Graph), batch, cancel, team,
                plan.Gradients is { } known ? GradientStage.Read(known, layer.Graph, rows!, run, Warn) : null);
            var outcome = quantizer.Run((detail, fraction) => meter.Layer(i, detail, fraction));
            foreach (var warning in outcome.Warnings)
                Warn("LayerWarning", $"Layer {i}: {warning}");
            if (options.Tuning is not null)
                LayerPart.WriteResiduals(run.Residuals(i), layer, quantizer.Quantized);
            Commit(i, outcome with { PeakMemory = Peak() }, quantizer.Quantized, layer, whole.Elapsed.TotalSeconds);
            layer.Dispose();
            NativeHeap.Return();
        }
        commits.Finish();

        void Commit(int i, LayerOutcome outcome, IReadOnlyDictionary<string, QuantizedLinear> quantized, DecoderLayer layer, double seconds)
        {
            // Where layers take a second, what leads from one to the next is not written for each.
            var onHost = team.Lead.IsHost;
            var due = onHost || saved.Elapsed > MostLost;
            if (due)
                saved.Restart();
            var part = new LayerPart(layer, quantized);
            var states = due && hidden.OnDevice ? hidden.Snapshot() : null;
            commits.Add(() =>
            {
                using (part)
                using (states)
                    run.Commit(i, outcome, due ? (states ?? hidden).Save : null, part.Write);
            }, () =>
            {
                finished.Add(run.ReadOutcome(i));
                ReportFile.WriteWhole(run.Path, Report(finished));
                meter.Committed(i, seconds, finished[^1].PeakMemory ?? 0);
            }, behind: !onHost && (states is not null || !due));
        }
    }

    /// <summary>Whether the float model makes sense of the calibration text. One of a known type that does not is refused.</summary>
    private bool IsSane(DecoderModel model, ProgressMeter meter)
    {
        meter.Stage("float model on calibration text");
        try
        {
            FloatSanity.Check(FloatSanity.Measure(model, rows!, cancel), graph, Warn);
            model.ReleaseHead();
            return true;
        }
        catch (AwqException e) when (e.Id == "FloatModelInsane" && graph.MatchedByShape && !options.Strict)
        {
            Warn("ArchitectureGuessWrong", $"{e.Message} So it is no {graph.Family} after all: its linears are ROUNDED PLAINLY, without calibration, which is worse than AWQ. Describe the architecture with -ArchitecturePath.");
            return false;
        }
    }

    /// <summary>Finds the linears that are worth their bits in float16.</summary>
    private void KeepSensitive(DecoderModel model, RunFolder run, ProgressMeter meter, Batching batching)
    {
        if (plan.Sensitivity is null)
        {
            if (options.MaxQuality)
                observer.Decision($"No linear stays float for its sensitivity: groups of {options.GroupSize} take {plan.BitsPerWeight:0.###} bits per weight, and the smallest would lead beyond {options.MaxBitsPerWeight:0.###} (-MaxBitsPerWeight).");
            return;
        }
        var batch = new MicroBatch(Math.Max(1, batching.RowsAtOnce * rows!.Length / plan.Sensitivity.PieceLength), run.Spill, Warn, probe);
        sensitivity = SensitivityStage.Run(plan, model, rows, run, SensitivityStage.Settings(options), batch,
            (detail, fraction) => meter.Before("what each part costs in 4 bits", detail, plan.SensitivityShare * fraction), cancel);
        sensitive = SensitivityStage.Reasons(graph, sensitivity);
        plan = plan.Keeping(sensitive, sensitivity.Where(s => s.StaysFloat).Sum(s => s.Set.Weights));
        observer.Decision($"{sensitive.Count} linears stay in float16 for their sensitivity, {plan.BitsPerWeight:0.###} bits per weight in all{(sensitive.Count == 0 ? "" : $": {string.Join(", ", sensitive.Keys)}")}.");
    }

    /// <summary>Follows the float model's loss back to the outputs of its linears. Where memory does not suffice, the run does without.</summary>
    private void FollowLoss(DecoderModel model, RunFolder run, ProgressMeter meter)
    {
        if (plan.Gradients is not { } gradients)
            return;
        if (!File.Exists(run.GradientsSkipped))
            try
            {
                Follow(model);
                return;
            }
            catch (Exception e) when (OutOfMemory.Is(e))
            {
                Warn("GradientsSkipped", $"Memory ran out ({OutOfMemory.Reason(e)}): linears are fitted to their outputs as such, and not to what the model's loss makes of them. The model is a little worse than it could be.");
                AtomicFile.WriteText(run.GradientsSkipped, "");
            }
        plan = plan with { Gradients = null };

        void Follow(DecoderModel on)
        {
            try
            {
                GradientStage.Run(gradients, on, rows!, run, Tell, cancel);
            }
            catch (Exception e) when (!on.Compute.IsHost && OutOfMemory.Is(e))
            {
                Warn("GradientsOnHost", $"The memory of {on.Compute} does not suffice to follow the model's loss back ({OutOfMemory.Reason(e)}): the CPU goes on with it, which takes longer.");
                using var onHost = DecoderModel.Open(graph, new FolderTensorSource(folder), ComputeDevice.Host);
                Follow(onHost);
            }
        }

        void Tell(string detail, double fraction)
        {
            probe?.Invoke("gradients");
            meter.Before("what the loss makes of each output", detail, plan.SensitivityShare + (1 - plan.SensitivityShare) * fraction);
        }
    }

    /// <summary>Linears of a layer that stay float, with the reason, by name in the layer.</summary>
    private IReadOnlyDictionary<string, string> StayFloat(LayerGraph layer)
    {
        var kept = ModuleSelection.StayFloat(layer, options.GroupSize, options.ExcludeModule).ToDictionary();
        foreach (var linear in layer.Linears)
            if (sensitive.TryGetValue(layer.Prefix + linear.Module, out var reason))
                kept.Add(linear.Module, reason);
        return kept;
    }

    /// <summary>The hidden states that enter the first layer that is still to be done.</summary>
    private HiddenStates Enter(DecoderModel model, RunFolder run, int first, Batching batching)
    {
        var length = first == 0 ? rows!.Length : run.ReadOutcome(first - 1).SequenceLength;
        var hidden = HiddenStates.Place(rows!.Rows.Count, length, graph.HiddenSize, team!.Lead, plan.HiddenStatesOnDevice, plan.HiddenStatesOnDisk ? run.Spill : null, observer.Decision);
        if (first > 0)
        {
            using var stream = run.OpenHidden(first);
            hidden.Load(stream);
            return hidden;
        }
        for (var from = 0; from < rows!.Rows.Count; from += batching.RowsAtOnce)
        {
            using var scope = NewDisposeScope();
            var some = rows.Rows.Skip(from).Take(batching.RowsAtOnce).ToList();
            var ids = tensor(some.SelectMany(r => r).Select(i => (long)i).ToArray(), [some.Count, rows.Length]);
            hidden.Store(from, model.Embed(ids));
        }
        model.ReleaseEmbedding();
        NativeHeap.Trim();
        return hidden;
    }

    private void CheckFinite(DecoderLayer layer)
    {
        foreach (var name in layer.Weights.Names)
        {
            using var sum = layer.Weights[name].sum();
            if (!double.IsFinite(sum.item<float>()))
                throw new AwqException("TensorNotFinite", AwqErrorKind.InvalidData,
                    $"Tensor '{layer.Graph.Prefix}{name}' of '{folder.Path}' holds values that are infinite or not a number.",
                    "The model's weights are damaged: download them again, or use another checkpoint.");
        }
    }
}
