using System.Security.Cryptography;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Linears that are fitted to what the model's loss makes of their outputs, in whole runs.</summary>
public sealed class GradientStageTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>The other run is the same in all but this: it lacks the memory for it.</summary>
    [Theory]
    [InlineData("samples/stories-llama")]
    [InlineData("tests/data/stories-moe")]
    [InlineData("tests/data/stories-gemma3")]
    public void TheModelComesNearerToTheFloatOne(string model)
    {
        var ratio = Compare(Path.Combine(Repository.Root, model), 128, Texts(held: false), Texts(held: true), rows: 192);
        Assert.InRange(ratio, 0.5, 0.95);
    }

    /// <summary>On text of the kind that the models know.</summary>
    [Theory]
    [Trait("Category", "Acceptance")]
    [InlineData("models/stories-llama", 128)]
    [InlineData("models/stories-gemma3", 128)]
    [InlineData("models/babyllama361-hf", 32)]
    public void OnTextThatItKnowsItComesNearerByATenth(string model, int groupSize)
    {
        var text = File.ReadAllText(SharedData.Require("text/tinystories_2M.txt"));
        var ratio = Compare(SharedData.Require(model), groupSize, [temporary.Write("calibration.txt", text[..200_000])], [temporary.Write("held-out.txt", text[^60_000..])], rows: 64);
        Assert.InRange(ratio, 0.5, 0.9);
    }

    private double Compare(string model, int groupSize, IReadOnlyList<string> calibration, IReadOnlyList<string> heldOut, int rows)
    {
        QuantizationOptions Of(string made) => Options(made) with { ModelPath = model, GroupSize = groupSize, SampleCount = rows, SequenceLength = 256, MaxBitsPerWeight = 4, CalibrationData = calibration };
        QuantizationRun.Execute(Of("with"), new RecordingObserver(), default);
        QuantizationRun.Execute(Of("without"), new RecordingObserver(), default, stage =>
        {
            if (stage == "gradients")
                throw new OutOfMemoryException("planted");
        });
        var (with, without) = (Kl("with"), Kl("without"));
        output.WriteLine($"KL {with:F5}, without {without:F5}, ratio {with / without:F3}");
        return with / without;

        double Kl(string made)
        {
            using var quantized = ModelSource.Open(temporary.File(made), Repository.Catalog);
            using var reference = ModelSource.Open(model, Repository.Catalog);
            return ModelMeasurement.Run(quantized, reference, new MeasurementOptions { Texts = heldOut, Context = 256 }).Overall.KlDivergence!.Value;
        }
    }

    [Fact]
    public void ARunThatIsStoppedInItGoesOnAndGivesTheSameBytes()
    {
        var options = Options("b") with { SampleCount = 80, SequenceLength = 512, CalibrationData = [] };
        Assert.Equal(3, QuantizationRun.Plan(options, new RecordingObserver(), default).Gradients!.Slices);
        QuantizationRun.Execute(options with { OutputPath = temporary.File("a") }, new RecordingObserver(), default);
        var seen = 0;
        Assert.Throws<TimeoutException>(() => QuantizationRun.Execute(options, new RecordingObserver(), default, stage =>
        {
            if (stage == "gradients" && ++seen == 15)
                throw new TimeoutException();
        }));
        var first = Path.Combine(temporary.File("b.awq-run"), "gradients-00000-0000.safetensors");
        Assert.False(File.Exists(Path.Combine(temporary.File("b.awq-run"), "gradients-00000-0001.safetensors")));
        var written = File.GetLastWriteTimeUtc(first);
        var again = 0;
        QuantizationRun.Execute(options, new RecordingObserver(), default, stage =>
        {
            Assert.Equal(written, File.GetLastWriteTimeUtc(first));
            again += stage == "gradients" ? 1 : 0;
        });
        Assert.Equal(20, again); // the first slice's ten were not made again
        Assert.Equal(Hash("a"), Hash("b"));
    }

    [Fact]
    public void WhereMemoryRunsOutTheRunDoesWithoutAndSaysSoAlsoWhenItIsTakenUp()
    {
        var observer = new RecordingObserver();
        QuantizationRun.Execute(Options("a"), observer, default, Failing(null));
        Assert.Contains(observer.Warnings, w => w.Id == "GradientsSkipped");
        Assert.Throws<TimeoutException>(() => QuantizationRun.Execute(Options("b"), new RecordingObserver(), default, Failing(30)));
        QuantizationRun.Execute(Options("b"), new RecordingObserver(), default);
        Assert.Equal(Hash("a"), Hash("b"));

        static Action<string> Failing(int? stop)
        {
            var (gradients, all) = (0, 0);
            return stage =>
            {
                if (stage == "gradients" && ++gradients == 4)
                    throw new OutOfMemoryException("planted");
                if (++all == stop)
                    throw new TimeoutException();
            };
        }
    }

    /// <summary>Rows wait for each other, so the host rounds, wherever the layer is; the choices before are the device's.</summary>
    [Fact]
    public void ADeviceHasItsLinearsRoundedSoToo()
    {
        var onHost = QuantizationRun.Execute(Options("a"), new RecordingObserver(), default);
        var device = new SimulatedDevice(1L << 40);
        var onDevice = QuantizationRun.Execute(Options("b"), new RecordingObserver(), default, null, DeviceTeam.Of(device));
        Assert.Equal(0, device.Used);
        foreach (var (a, b) in onHost.Layers.SelectMany(l => l.Linears).Zip(onDevice.Layers.SelectMany(l => l.Linears)))
        {
            Assert.Equal(a.Module, b.Module);
            Assert.Equal(1, b.Loss / a.Loss, 0.1);
        }
    }

    [Fact]
    public void WhereADevicesMemoryRunsOutTheHostGoesOn()
    {
        var (observer, seen) = (new RecordingObserver(), 0);
        QuantizationRun.Execute(Options("a"), observer, default, stage =>
        {
            if (stage == "gradients" && ++seen == 4)
                throw new OutOfMemoryException("planted");
        }, DeviceTeam.Of(new SimulatedDevice(1L << 40)));
        Assert.Single(observer.Warnings, w => w.Id == "GradientsOnHost");
        Assert.DoesNotContain(observer.Warnings, w => w.Id == "GradientsSkipped");
        QuantizationRun.Execute(Options("b"), new RecordingObserver(), default, null, DeviceTeam.Of(new SimulatedDevice(1L << 40)));
        Assert.Equal(File.ReadAllBytes(Path.Combine(temporary.File("a"), "model.safetensors")), File.ReadAllBytes(Path.Combine(temporary.File("b"), "model.safetensors")));
    }

    [Fact]
    public void LinearsWhoseGradientsOverflowedAreFittedToTheirOutputsAndNamed()
    {
        Assert.Throws<TimeoutException>(() => QuantizationRun.Execute(Options("a"), new RecordingObserver(), default, stage =>
        {
            if (stage == "statistics" && File.Exists(Gradients("a", 0)))
                throw new TimeoutException();
        }));
        var path = Gradients("a", 1);
        long at;
        using (var file = SafetensorsFile.Open(path))
            at = file.Tensors["mlp.up_proj.norms"].Offset;
        using (var stream = File.OpenWrite(path))
        {
            stream.Position = at;
            stream.Write(BitConverter.GetBytes(float.NaN));
        }
        var observer = new RecordingObserver();
        var result = QuantizationRun.Execute(Options("a"), observer, default);
        var warning = Assert.Single(observer.Warnings, w => w.Id == "GradientsNotFinite");
        Assert.Contains("Layer 1", warning.Message);
        Assert.Contains("mlp.up_proj", warning.Message);
        Assert.All(result.Layers.SelectMany(l => l.Linears), l => Assert.True(double.IsFinite(l.Loss)));
    }

    [Fact]
    public void OnlyMaxQualityFollowsTheLoss()
    {
        Assert.NotNull(QuantizationRun.Plan(Options("a"), new RecordingObserver(), default).Gradients);
        Assert.Null(QuantizationRun.Plan(Options("a") with { MaxQuality = false }, new RecordingObserver(), default).Gradients);
        Assert.Null(QuantizationRun.Plan(Options("a") with { Rounding = Engine.Awq.RoundingMode.Nearest }, new RecordingObserver(), default).Gradients);
    }

    private string Gradients(string made, int layer) => Path.Combine(temporary.File(made + ".awq-run"), $"gradients-{layer:D5}-0000.safetensors");

    /// <summary>The stories that ship with the module, or all else that does.</summary>
    private static string[] Texts(bool held) => [.. Directory.GetFiles(Path.Combine(Repository.Root, "module", "Calibration"), "*.txt").Where(f => Path.GetFileName(f) == "narrative.txt" == held).Order(StringComparer.Ordinal)];

    private QuantizationOptions Options(string made) => new()
    {
        ModelPath = Path.Combine(Repository.Root, "samples", "stories-llama"), ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File(made),
        MaxQuality = true, TuningSteps = 0, GroupSize = 128, SampleCount = 8, SequenceLength = 128, ForceCpu = true,
        CalibrationData = [Path.Combine(Repository.Root, "module", "Calibration", "narrative.txt")],
    };

    private string Hash(string made) => string.Join("\n", Directory.GetFiles(temporary.File(made)).Order(StringComparer.Ordinal)
        .Select(f => Path.GetFileName(f) + " " + Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(f)))));
}
