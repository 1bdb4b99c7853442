using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>
/// Tunes what a 4-bit checkpoint holds (group scales, norm weights and biases, then codes, too) so that the whole quantised model
/// predicts what the float model predicts: gradient descent on KL(float‖quantised), end to end. Layers pass by one after another in
/// both directions; what a layer's gradient needs is recorded where memory allows, else the layer runs a second time (gradient
/// checkpointing, arXiv 1604.06174), so that a model of any size can be tuned. A part of the loss is how far each layer's output is
/// from the float model's. Held-out rows decide, by the divergence alone, when it ends and which step is taken, so the result is never
/// worse on them than what it began with.
/// </summary>
public sealed class EndToEndTuning : IDisposable
{
    private readonly ModelSource student;
    private readonly TuningSettings settings;
    private readonly ComputeDevice compute;
    private readonly CancellationToken cancel;
    private readonly Action<string, double>? progress;
    private readonly DecoderModel teacherModel, studentModel;
    private readonly Distillation distillation;
    private readonly List<TunedLayer> layers = [];
    private readonly List<DecoderLayer> teachers = [];
    private readonly Dictionary<string, Parameter> outer = [];
    private readonly TuningRows rows;
    private readonly HiddenStates expected;
    private readonly Action<string, string> warn;
    private readonly Action<string>? probe;
    private readonly TuningMemory memory;
    private long recordingBytes;
    private bool keepsTeachers;

    private EndToEndTuning(ModelGraph graph, ITensorSource teacher, ModelSource student, TokenRows calibration, TuningSettings settings, string spill,
        Action<string, string> warn, Action<string, double>? progress, CancellationToken cancel, Action<string>? probe, ComputeDevice device)
    {
        (this.student, this.settings, this.warn, this.progress, this.cancel, this.probe, compute) = (student, settings, warn, progress, cancel, probe, device);
        memory = TuningMemory.Of(student.Graph, settings, !compute.IsHost);
        recordingBytes = settings.MemoryBytes / 6;
        keepsTeachers = !compute.IsHost && memory.WeightsStay;
        teacherModel = DecoderModel.Open(graph, teacher, compute, exact: true);
        studentModel = DecoderModel.Open(student.Graph, student.Tensors, compute, exact: true);
        distillation = new Distillation(teacherModel, studentModel, cancel);
        rows = TuningRows.From(calibration, settings);
        expected = Place(Taught, spill);
    }

    /// <summary>Room for hidden states of some rows.</summary>
    /// <param name="spill">Where they go if they would take much of the memory; null for nowhere.</param>
    private HiddenStates Place(int count, string? spill)
    {
        var much = 4L * count * rows.Length * student.Graph.HiddenSize > settings.MemoryBytes / 4;
        return HiddenStates.Place(count, rows.Length, student.Graph.HiddenSize, compute, onDevice: !compute.IsHost && !much, much && compute.IsHost ? spill : null, _ => { });
    }

    /// <summary>Tunes a checkpoint.</summary>
    /// <param name="graph">The float model.</param>
    /// <param name="teacher">Its weights.</param>
    /// <param name="student">The quantised checkpoint; read only.</param>
    /// <param name="calibration">Rows to tune on; a part of them is held out.</param>
    /// <param name="settings">Steps and their widths.</param>
    /// <param name="folder">Where the result (<see cref="TuningFiles.Best"/>) and what an interrupted tuning goes on from are kept.</param>
    /// <param name="warn">Told where memory runs out and less is done at once: stable id and text.</param>
    /// <param name="progress">Told what is done, and how much of all (0 to 1).</param>
    /// <param name="cancel">Ends the work within a second or so; it can be taken up again.</param>
    /// <param name="probe">Called before each step; tests let things fail there.</param>
    /// <param name="device">Where to compute; null for the CPU, which also takes over where a device's memory does not suffice.</param>
    public static TuningOutcome Run(ModelGraph graph, ITensorSource teacher, ModelSource student, TokenRows calibration, TuningSettings settings,
        TuningFiles folder, Action<string, string> warn, Action<string, double>? progress = null, CancellationToken cancel = default, Action<string>? probe = null, ComputeDevice? device = null)
    {
        TorchRuntime.EnsureLoaded();
        try
        {
            return RunOn(device ?? ComputeDevice.Host, settings);
        }
        catch (Exception e) when (device is { IsHost: false } && OutOfMemory.Is(e))
        {
            warn("TuningOnHost", $"The memory of {device} does not suffice for tuning ({OutOfMemory.Reason(e)}): the CPU goes on with it, which takes longer.");
            return RunOn(ComputeDevice.Host, settings with { MemoryBytes = Math.Min(settings.MemoryBytes, ProcessMemory.Available) });
        }

        TuningOutcome RunOn(ComputeDevice there, TuningSettings settings)
        {
            using var scope = NewDisposeScope();
            using var tuning = new EndToEndTuning(graph, teacher, student, calibration, settings, folder.Spill, warn, progress, cancel, probe, there);
            return tuning.Run(folder);
        }
    }

    private TuningOutcome Run(TuningFiles folder)
    {
        using var claim = compute.Reserve(memory.Bytes);
        Teach();
        ShareHead();
        OpenLayers(folder);
        var (state, resumed) = (new TuningState(), folder.TryLoad(State, out var earlier));
        if (resumed)
        {
            state = earlier!;
            foreach (var layer in layers)
                layer.Reset();
            RenewOuter();
        }
        else
        {
            state.Before = state.Best = HeldOut();
            folder.Save(State, state);
        }
        var latest = state.Best;
        while (state.Step < settings.Steps)
        {
            cancel.ThrowIfCancellationRequested();
            if (state.Step < ScaleSteps && state.Fruitless >= settings.Patience)
                (state.Step, state.Fruitless) = (state.Step + (ScaleSteps - state.Step) / 2, 0);
            state.Step++;
            progress?.Invoke($"step {state.Step} of {settings.Steps}, held-out KL {latest:g3} (best {state.Best:g3}, before {state.Before:g3})", Teaching + (1 - Teaching) * state.Step / settings.Steps);
            Guarded(() => Step(state.Step));
            if (state.Step % settings.Interval != 0 && state.Step != settings.Steps && state.Step != ScaleSteps)
                continue;
            latest = HeldOut();
            if (latest < state.Best)
            {
                (state.Best, state.BestStep, state.Fruitless) = (latest, state.Step, 0);
                folder.SaveBest(layers.SelectMany(l => l.Payloads()).Concat(OuterPayloads()));
            }
            else
                state.Fruitless++;
            folder.Save(State, state);
        }
        return new TuningOutcome(state.Step, state.BestStep, rows.TrainingTokens, rows.HeldOutTokens, state.Before, state.Best);
    }

    /// <summary>Rows that the float model sees before the first step; where its hidden states are wanted, too, it sees the others step by step.</summary>
    private int Taught => FollowsHidden ? rows.HeldOut : rows.Count;

    /// <summary>What products of steps are made in.</summary>
    private ScalarType Products => settings.Products ?? compute.GradientType(student.Graph.HiddenSize);

    private bool FollowsHidden => settings.HiddenWeight > 0;

    /// <summary>The float model's part of the time: a forward, where each step is worth about four.</summary>
    private double Teaching => Tokens / (Tokens + 4.0 * settings.Steps * settings.TokensPerStep);

    private double Tokens => (double)Taught * rows.Length;

    private bool TunesCodes => memory.WeightsStay && settings.CodeRate > 0 && layers.Any(l => l.TunesCodes);

    /// <summary>
    /// Steps in which codes stay. What the scales can mend is mended first; then the codes move with them. Both parts begin with wide
    /// steps and end with narrow ones, and while codes move the model may become worse before it becomes better. In the first part wide
    /// steps that bring nothing are cut short: it goes on in the middle of what is left of it, where they are narrower.
    /// </summary>
    private int ScaleSteps => TunesCodes ? settings.Steps / 4 : settings.Steps;

    private IEnumerable<Tensor> State => layers.SelectMany(l => l.State).Concat(outer.Values.SelectMany(o => o.State));

    /// <summary>The head is the largest matrix of many models; where both models have the same, it is in memory once.</summary>
    private void ShareHead()
    {
        using var scope = NewDisposeScope();
        var name = student.Graph.Head.Weight;
        if (name == teacherModel.Graph.Head.Weight && studentModel[name].eq(teacherModel[name]).all().item<bool>())
            studentModel.Set(name, teacherModel[name].alias());
    }

    /// <summary>What leaves the float model's last layer.</summary>
    private void Teach()
    {
        using var guard = no_grad();
        ForRows(0, Taught, (from, ids) => expected.Store(from, teacherModel.Embed(ids)));
        teacherModel.ReleaseEmbedding();
        for (var i = 0; i < teacherModel.Graph.LayerCount; i++)
        {
            progress?.Invoke($"float model, layer {i + 1} of {teacherModel.Graph.LayerCount}", Teaching * i / teacherModel.Graph.LayerCount);
            using var layer = teacherModel.LoadLayer(i);
            ForRows(0, Taught, (from, ids) => expected.Store(from, layer.Forward(expected.View(from, (int)ids.shape[0]))));
            NativeHeap.Trim();
        }
    }

    /// <summary>
    /// What leaves each of the float model's layers, [rows, length, hidden]. A device keeps them while it has the memory; the host reads
    /// them anew, which costs it a fraction of their forward.
    /// </summary>
    private Tensor[] Follow(Tensor ids)
    {
        using var guard = no_grad();
        var wanted = new Tensor[layers.Count];
        for (var i = 0; i < layers.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            if (keepsTeachers && teachers.Count == i)
                teachers.Add(Teacher(i));
            using var passing = keepsTeachers ? null : Teacher(i);
            wanted[i] = (passing ?? teachers[i]).Forward(i == 0 ? teacherModel.Embed(ids) : wanted[i - 1]).to(compute.Torch);
        }
        return wanted;
    }

    private DecoderLayer Teacher(int index)
    {
        var layer = teacherModel.LoadLayer(index);
        layer.Weights.ForwardIn(Products);
        return layer;
    }

    private void ReleaseTeachers()
    {
        foreach (var layer in teachers)
            layer.Dispose();
        teachers.Clear();
        keepsTeachers = false;
    }

    private void OpenLayers(TuningFiles folder)
    {
        foreach (var graph in student.Graph.Layers)
            layers.Add(new TunedLayer(studentModel, student, graph, settings, memory.WeightsStay, Products, m => memory.WeightsStay && settings.CodeRate > 0 ? folder.Residuals(m) : null));
        if (student.Graph.Head.FinalNorm is not { } norm)
            return;
        foreach (var name in new[] { norm.HasWeight ? norm.Module + ".weight" : null, norm.HasBias ? norm.Module + ".bias" : null }.OfType<string>())
            if (!student.Graph.KeepFloat32.Contains(name))
                outer[name] = new Parameter(studentModel[name], TunedLayer.Rate(studentModel[name], norm.OnePlus && name.EndsWith(".weight", StringComparison.Ordinal), settings));
        RenewOuter();
    }

    private void RenewOuter()
    {
        foreach (var (name, parameter) in outer)
            studentModel.Set(name, parameter.Stored().requires_grad_(true));
    }

    private IEnumerable<TensorPayload> OuterPayloads() => outer.Select(o =>
    {
        using var scope = NewDisposeScope();
        var value = ComputeDevice.Download(o.Value.Stored());
        return TensorPayload.From(o.Key, TensorDtype.F16, value.shape, Array.ConvertAll(value.data<float>().ToArray(), v => (Half)v));
    });

    /// <summary>One step on the rows that are its turn.</summary>
    private void Step(int step)
    {
        using var scope = NewDisposeScope();
        var (ids, chosen) = rows.Batch(step);
        var wanted = FollowsHidden ? Follow(ids) : null;
        var states = new Tensor[layers.Count + 1];
        var records = new Tensor?[layers.Count];
        states[0] = studentModel.Embed(ids);
        var recorded = FirstRecorded(ids.shape[0] * ids.shape[1]);
        for (var i = 0; i < layers.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            var layer = layers[i].Open();
            if (i < recorded)
                states[i + 1] = layer.Forward(states[i]);
            else
            {
                states[i] = states[i].detach().requires_grad_(true);
                records[i] = layer.ForwardForGradient(states[i]);
                states[i + 1] = records[i]!.detach();
            }
            if (i < recorded)
                layers[i].Close();
        }
        var gradient = Judge(states[^1], wanted?[^1] ?? cat([.. chosen.Select(r => expected.View(r, 1))], 0).to(compute.Torch));
        foreach (var (name, parameter) in outer)
            if (studentModel[name].grad is { } own)
                parameter.Offer(own);
        for (var i = layers.Count - 1; i >= 0; i--)
        {
            cancel.ThrowIfCancellationRequested();
            using var inner = NewDisposeScope();
            var layer = layers[i].Open();
            var entrance = records[i] is null ? states[i].detach().requires_grad_(true) : states[i];
            var output = records[i] ?? layer.ForwardForGradient(entrance);
            if (wanted is not null)
                gradient.add_(HiddenDistance.Gradient(output, wanted[i], settings.HiddenWeight / layers.Count));
            output.backward([gradient]);
            records[i]?.Dispose();
            gradient.Dispose();
            gradient = entrance.grad!.MoveToOuterDisposeScope();
            layers[i].Offer(step > ScaleSteps);
            layers[i].Close();
        }
        // Only now that all gradients are there does anything move: a step that fails on its way can be repeated.
        var (begin, end) = step > ScaleSteps ? (ScaleSteps, settings.Steps) : (0, ScaleSteps);
        var factor = 0.5 * (1 + Math.Cos(Math.PI * (step - 1 - begin) / (end - begin)));
        foreach (var layer in layers)
            layer.Step(step, factor);
        foreach (var parameter in outer.Values)
            parameter.Step(step, factor);
        RenewOuter();
    }

    /// <summary>Makes a step; where memory runs out, with nothing recorded but one layer at a time. The result is the same.</summary>
    private void Guarded(Action step)
    {
        try
        {
            probe?.Invoke("tuning");
            step();
        }
        catch (Exception e) when (OutOfMemory.Is(e) && recordingBytes > 0)
        {
            warn("TuningMemoryReduced", $"Memory ran out ({OutOfMemory.Reason(e)}): going on with one layer recorded at a time. The result is not affected.");
            recordingBytes = 0;
            ReleaseTeachers();
            foreach (var layer in layers)
                layer.Reset();
            RenewOuter();
            NativeHeap.Trim();
            probe?.Invoke("tuning");
            step();
        }
    }

    /// <summary>The gradient of a batch's divergence by what left the last layer.</summary>
    private Tensor Judge(Tensor hidden, Tensor wanted)
    {
        using var scope = NewDisposeScope();
        wanted = wanted.flatten(0, 1);
        var gradient = empty_like(wanted);
        distillation.Measure(wanted, hidden.detach().flatten(0, 1), gradient);
        return gradient.view(hidden.shape).MoveToOuterDisposeScope();
    }

    /// <summary>Mean divergence on the held-out rows.</summary>
    private double HeldOut()
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        using var states = Place(rows.HeldOut, null);
        ForRows(0, rows.HeldOut, (from, ids) => states.Store(from, studentModel.Embed(ids)));
        foreach (var layer in layers)
        {
            var opened = layer.Open();
            using var exactly = opened.Weights.Exactly();
            ForRows(0, rows.HeldOut, (from, ids) => states.Store(from, opened.Forward(states.View(from, (int)ids.shape[0]))));
            layer.Close();
        }
        var sum = 0.0;
        for (var row = 0; row < rows.HeldOut; row++)
        {
            cancel.ThrowIfCancellationRequested();
            using (NewDisposeScope())
                sum += distillation.Measure(expected.View(row, 1)[0], states.View(row, 1)[0], null);
            // Freed blocks of the size of logits are not used again by the C library where small ones lie between them.
            NativeHeap.Trim();
        }
        return sum / rows.HeldOutTokens;
    }

    private void ForRows(int first, int count, Action<int, Tensor> body)
    {
        var atOnce = Math.Max(1, settings.TokensPerStep / rows.Length);
        for (var from = first; from < first + count; from += atOnce)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            body(from, rows.Ids(from, Math.Min(atOnce, first + count - from)));
        }
    }

    /// <summary>The first layer from which on recordings fit into memory.</summary>
    private int FirstRecorded(long tokens)
    {
        var left = recordingBytes;
        for (var i = layers.Count - 1; i >= 0; i--)
        {
            left -= TuningMemory.Recording(student.Graph.Layers[i], student.Graph.HiddenSize, tokens);
            if (left < 0)
                return i + 1;
        }
        return 0;
    }

    public void Dispose()
    {
        foreach (var layer in layers)
            layer.Dispose();
        foreach (var parameter in outer.Values)
            parameter.Dispose();
        ReleaseTeachers();
        expected.Dispose();
        teacherModel.Dispose();
        studentModel.Dispose();
    }
}
