using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;
using AwqQuantize.Engine.Tests.Evaluation;
using AwqQuantize.Engine.Tokenization;
using AwqQuantize.Engine.Tuning;
using TorchSharp;
using ScalarType = TorchSharp.torch.ScalarType;

namespace AwqQuantize.Engine.Tests.Tuning;

/// <summary>Tuning on the quantised sample.</summary>
public sealed class EndToEndTuningTests(QuantizedSample sample) : IClassFixture<QuantizedSample>, IDisposable
{
    private static readonly TuningSettings Small = new() { Steps = 6, TokensPerStep = 256, RowLength = 64, Interval = 2, HeldOut = 4 };

    private readonly TemporaryFolder temporary = new();
    private readonly List<string> warnings = [];

    public void Dispose() => temporary.Dispose();

    /// <summary>Judged by the measurement that users have, on the text that the steps saw; and only what may move has moved.</summary>
    [Fact]
    public void TheModelComesNearerToTheFloatOneAndItsCodesStay()
    {
        var tuned = Tuned("a", Small with { Steps = 40, Interval = 20, ScaleRate = 0.01 });
        var (before, after) = (Kl(sample.Path), Kl(tuned));
        Assert.True(after < before, $"{after} after, {before} before");
        using var first = SafetensorsFile.Open(Path.Combine(sample.Path, "model.safetensors"));
        using var second = SafetensorsFile.Open(Path.Combine(tuned, "model.safetensors"));
        Assert.Equal(first.Tensors.Keys.Order(), second.Tensors.Keys.Order());
        var changed = first.Tensors.Keys.Where(k => !Bytes(first, k).SequenceEqual(Bytes(second, k))).ToList();
        Assert.NotEmpty(changed);
        Assert.All(changed, k => Assert.True(k.EndsWith(".scales") || k.EndsWith("norm.weight"), k));
        Assert.True(OutputTest.Run(new OutputTestOptions { Path = tuned, SourcePath = QuantizedSample.Source }, Repository.Catalog).Passed);
    }

    [Fact]
    public void ATuningThatIsStoppedGoesOnAndGivesTheSameBytes()
    {
        var whole = Tune("a", Small);
        using var stop = new CancellationTokenSource();
        var steps = 0;
        Assert.Throws<OperationCanceledException>(() => Tune("b", Small, _ =>
        {
            if (++steps == 5)
                stop.Cancel();
        }, stop.Token));
        var again = 0;
        var resumed = Tune("b", Small, _ => again++);
        Assert.Equal(2, again); // steps 5 and 6: the state after step 4 was kept
        Assert.Equal(whole, resumed);
        Assert.Equal(File.ReadAllBytes(Files("a").Best), File.ReadAllBytes(Files("b").Best));
    }

    /// <summary>There was memory for codes when it began, and is none when it goes on.</summary>
    [Fact]
    public void AStateOfWhatIsNotTunedAnyMoreIsNotTakenUp()
    {
        using var stop = new CancellationTokenSource();
        var steps = 0;
        Assert.Throws<OperationCanceledException>(() => Tune("b", Small, _ =>
        {
            if (++steps == 5)
                stop.Cancel();
        }, stop.Token, codes: true));
        var little = Small with { MemoryBytes = 1 };
        Assert.Equal(Tune("a", little), Tune("b", little, codes: true));
        Assert.Equal(File.ReadAllBytes(Files("a").Best), File.ReadAllBytes(Files("b").Best));
        Assert.NotEqual(Tune("c", Small), Tune("d", Small, codes: true));
    }

    [Fact]
    public void WhereMemoryRunsOutItGoesOnWithTheSameResult()
    {
        Tune("a", Small);
        var steps = 0;
        Tune("b", Small, _ =>
        {
            if (++steps == 3)
                throw new OutOfMemoryException("planted");
        });
        Assert.Contains(warnings, w => w.StartsWith("TuningMemoryReduced"));
        Assert.Equal(File.ReadAllBytes(Files("a").Best), File.ReadAllBytes(Files("b").Best));
    }

    /// <summary>A model that does not fit is read layer by layer, in both directions: the arithmetic is the same.</summary>
    [Fact]
    public void AModelThatDoesNotFitIsStreamedWithTheSameResult()
    {
        Tune("a", Small);
        Tune("b", Small with { MemoryBytes = 1 });
        Assert.Equal(File.ReadAllBytes(Files("a").Best), File.ReadAllBytes(Files("b").Best));
    }

    /// <summary>Products in bfloat16 lead as far, and what is measured on the way is not made of them.</summary>
    [Fact]
    public void InBFloat16ItGoesAsFar()
    {
        var settings = Small with { Steps = 40, Interval = 20, ScaleRate = 0.01 };
        var exact = Tune("a", settings with { Products = ScalarType.Float32 });
        var half = Tune("b", settings with { Products = ScalarType.BFloat16 });
        Assert.Equal(exact.KlBefore, half.KlBefore);
        Assert.InRange((half.KlBefore - half.KlAfter) / (exact.KlBefore - exact.KlAfter), 0.7, 1.4);
        Assert.NotEqual(File.ReadAllBytes(Files("a").Best), File.ReadAllBytes(Files("b").Best));
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(1L)] // so little that layers pass by one at a time
    public void ADeviceGivesTheSameBytes(long memory)
    {
        var device = new SimulatedDevice(1 << 30);
        var settings = Small with { MemoryBytes = Math.Min(memory, Small.MemoryBytes) };
        var here = Tune("a", settings);
        Assert.Equal(here, Tune("b", settings, device: device));
        Assert.Empty(warnings);
        Assert.True(device.Peak > 0);
        Assert.Equal(0, device.Used);
        Assert.Equal(File.ReadAllBytes(Files("a").Best), File.ReadAllBytes(Files("b").Best));
    }

    /// <summary>Both where nothing fits and where memory ends on the way, with a layer at a time, too.</summary>
    [Theory]
    [InlineData(1000, int.MaxValue)]
    [InlineData(1 << 30, 5)]
    public void WhereADevicesMemoryDoesNotSufficeTheCpuGoesOn(long limit, int fails)
    {
        var here = Tune("a", Small);
        var (steps, device) = (0, new SimulatedDevice(limit));
        Assert.Equal(here, Tune("b", Small, _ =>
        {
            if (++steps is var s && (s == fails || s == fails + 1))
                throw new DeviceMemoryExhaustedException("planted");
        }, device: device));
        Assert.Contains(warnings, w => w.StartsWith("TuningOnHost") && w.Contains(device.Name));
        Assert.Equal(0, device.Used);
        Assert.Equal(File.ReadAllBytes(Files("a").Best), File.ReadAllBytes(Files("b").Best));
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(1L)]
    public void OnAGpuItGoesAsFarAsOnTheCpu(long memory)
    {
        var gpu = Gpu.Require();
        var settings = Small with { Steps = 40, Interval = 20, ScaleRate = 0.01, MemoryBytes = Math.Min(memory, Small.MemoryBytes) };
        var here = Tune("a", settings);
        var there = Tune("b", settings, device: gpu);
        Assert.Empty(warnings);
        Assert.InRange(there.KlBefore / here.KlBefore, 0.99, 1.01);
        Assert.InRange(there.KlAfter / here.KlAfter, 0.98, 1.02);
    }

    /// <summary>Norms of published models lie anywhere between 0.03 and 60 on average; some multiply as 1 + weight.</summary>
    [Fact]
    public void AStepIsAPartOfWhatMoves()
    {
        var settings = new TuningSettings { FloatRate = 0.5 };
        using var small = torch.tensor([0.01f, -0.03f]);
        using var zeros = torch.zeros(2);
        Assert.Equal(0.01, TunedLayer.Rate(small, onePlus: false, settings), 6);
        Assert.Equal(0.5, TunedLayer.Rate(zeros, onePlus: true, settings), 6);
        foreach (var (folder, norms) in ((string, bool)[])[("gemma2", true), ("llama", false)])
        {
            using var source = ModelSource.Open(Path.Combine(Repository.Root, "tests", "data", "tiny", folder), Repository.Catalog);
            Assert.All(source.Graph.Layers[0].Parameters.Where(p => p.Name.EndsWith("norm.weight")), p => Assert.Equal(norms, p.OnePlus));
        }
    }

    /// <summary>Step widths that ruin the model: the untuned values are kept.</summary>
    [Fact]
    public void WhatMakesTheModelWorseIsNotTaken()
    {
        var outcome = Tune("a", Small with { ScaleRate = 3, FloatRate = 3 });
        Assert.Equal(0, outcome.BestStep);
        Assert.Equal(outcome.KlBefore, outcome.KlAfter);
        Assert.False(File.Exists(Files("a").Best));
    }

    /// <summary>Of steps so wide that they bring nothing fewer are made; the narrow ones at the end mend what they can.</summary>
    [Theory]
    [InlineData(0.03, true)]
    [InlineData(0.08, false)]
    public void WideStepsThatBringNothingAreCutShort(double rate, bool mends)
    {
        var steps = 0;
        var outcome = Tune("a", Small with { Steps = 120, Interval = 5, Patience = 2, ScaleRate = rate }, _ => steps++);
        Assert.InRange(steps, 30, 90);
        // In the second half of the steps, which are never all made, or not at all.
        Assert.InRange(outcome.BestStep, mends ? 61 : 0, mends ? 120 : 0);
        Assert.Equal(mends, outcome.KlAfter < outcome.KlBefore);
    }

    private TuningOutcome Tune(string name, TuningSettings settings, Action<string>? probe = null, CancellationToken cancel = default, ComputeDevice? device = null, bool codes = false)
    {
        Directory.CreateDirectory(temporary.File(name));
        using var teacher = ModelSource.Open(QuantizedSample.Source, Repository.Catalog);
        using var student = ModelSource.Open(sample.Path, Repository.Catalog);
        var ids = TextTokenizer.Load(QuantizedSample.Source).Encode(File.ReadAllText(sample.Text), false);
        return EndToEndTuning.Run(teacher.Graph, teacher.Tensors, student, TokenRows.From([ids], null, 128, 64), settings, codes ? new(temporary.File(name), [Residuals(student)]) : Files(name),
            (id, text) => warnings.Add($"{id}: {text}"), null, cancel, probe, device);
    }

    private TuningFiles Files(string name) => new(temporary.File(name), []);

    /// <summary>Behind each layer, by running both models: what the weight of the layers' outputs is for, more so than the divergence alone.</summary>
    [Fact]
    public void TheLayersOutputsComeNearerToTheFloatOnes()
    {
        var settings = Small with { Steps = 40, Interval = 20, ScaleRate = 0.01 };
        var before = Distances(sample.Path);
        var (alone, followed) = (Distances(Tuned("a", settings with { HiddenWeight = 0 })), Distances(Tuned("b", settings with { HiddenWeight = 100 })));
        for (var layer = 0; layer < before.Count; layer++)
            Assert.True(followed[layer] < before[layer] && followed[layer] < alone[layer], $"layer {layer}: {before[layer]} before, {alone[layer]} by the divergence alone, {followed[layer]}");
    }

    private string Tuned(string name, TuningSettings settings)
    {
        var outcome = Tune(name, settings);
        Assert.True(outcome.BestStep > 0 && outcome.KlAfter < outcome.KlBefore, $"{outcome}");
        var tuned = Directory.CreateDirectory(temporary.File(name + "-tuned")).FullName;
        CheckpointAssembler.Assemble([Path.Combine(sample.Path, "model.safetensors")], tuned, replacements: Files(name).Best);
        foreach (var file in Directory.GetFiles(sample.Path).Where(f => !f.EndsWith(".safetensors")))
            File.Copy(file, Path.Combine(tuned, Path.GetFileName(file)));
        return tuned;
    }

    /// <summary>Mean of |h - t|² / |t|² over tokens behind each layer.</summary>
    private List<float> Distances(string folder)
    {
        using var scope = torch.NewDisposeScope();
        using var source = ModelSource.Open(folder, Repository.Catalog);
        using var reference = ModelSource.Open(QuantizedSample.Source, Repository.Catalog);
        using var model = DecoderModel.Open(source.Graph, source.Tensors, torch.CPU);
        using var teacher = DecoderModel.Open(reference.Graph, reference.Tensors, torch.CPU);
        var ids = torch.tensor(TextTokenizer.Load(QuantizedSample.Source).Encode(File.ReadAllText(sample.Text), false).Take(512).Select(i => (long)i).ToArray(), [8, 64]);
        var (own, wanted, distances) = (model.Embed(ids), teacher.Embed(ids), new List<float>());
        for (var i = 0; i < source.Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            using var its = teacher.LoadLayer(i);
            (own, wanted) = (layer.Forward(own), its.Forward(wanted));
            distances.Add(own.sub(wanted).square().sum([2L]).div(wanted.square().sum([2L])).mean().item<float>());
        }
        return distances;
    }

    /// <summary>As if every float weight lay at its code.</summary>
    private string Residuals(ModelSource student)
    {
        var path = temporary.File("residuals");
        PartFile.Write(path, [.. student.Graph.Layers.SelectMany(l => l.Linears.Select(x => (Name: l.Prefix + x.Module, x.Out, x.In))).Where(l => student.QuantizedModules.Contains(l.Name))
            .Select(l => TensorPayload.From(l.Name, TensorDtype.I8, [l.Out, l.In], new sbyte[l.Out * l.In]))]);
        return path;
    }

    private double Kl(string folder)
    {
        using var model = ModelSource.Open(folder, Repository.Catalog);
        using var reference = ModelSource.Open(QuantizedSample.Source, Repository.Catalog);
        return ModelMeasurement.Run(model, reference, new MeasurementOptions { Texts = [sample.Text], Context = 64 }).Overall.KlDivergence!.Value;
    }

    private static unsafe byte[] Bytes(SafetensorsFile file, string name) =>
        new ReadOnlySpan<byte>(file.Pointer(file.Tensors[name]), (int)file.Tensors[name].ByteLength).ToArray();
}
