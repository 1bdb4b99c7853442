using System.Security.Cryptography;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Linears that are fitted to what the model's loss makes of their outputs, in whole runs.</summary>
public sealed class GradientStageTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>Nothing but this differs from the default here: no tuning, no room for float linears.</summary>
    [Theory]
    [InlineData("samples/stories-llama")]
    [InlineData("tests/data/stories-moe")]
    [InlineData("tests/data/stories-gemma3")]
    public void TheModelComesNearerToTheFloatOne(string model)
    {
        var path = Path.Combine(Repository.Root, model);
        QuantizationOptions Of(string output) => Options(output) with { ModelPath = path, SampleCount = 48, SequenceLength = 256, MaxBitsPerWeight = 4, CalibrationData = Texts(held: false) };
        QuantizationRun.Execute(Of("maximum"), new RecordingObserver(), default);
        QuantizationRun.Execute(Of("default") with { MaxQuality = false }, new RecordingObserver(), default);
        Assert.InRange(Kl("maximum") / Kl("default"), 0.5, 0.95);

        double Kl(string made)
        {
            using var quantized = ModelSource.Open(temporary.File(made), Repository.Catalog);
            using var reference = ModelSource.Open(path, Repository.Catalog);
            return ModelMeasurement.Run(quantized, reference, new MeasurementOptions { Texts = Texts(held: true), Context = 256 }).Overall.KlDivergence!.Value;
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
    public void OnlyMaxQualityFollowsTheLoss()
    {
        Assert.NotNull(QuantizationRun.Plan(Options("a"), new RecordingObserver(), default).Gradients);
        Assert.Null(QuantizationRun.Plan(Options("a") with { MaxQuality = false }, new RecordingObserver(), default).Gradients);
        Assert.Null(QuantizationRun.Plan(Options("a") with { Rounding = Engine.Awq.RoundingMode.Nearest }, new RecordingObserver(), default).Gradients);
    }

    /// <summary>The stories that ship with the module, or all else that does.</summary>
    private static string[] Texts(bool held) => [.. Directory.GetFiles(Path.Combine(Repository.Root, "module", "Calibration"), "*.txt").Where(f => Path.GetFileName(f) == "narrative.txt" == held).Order(StringComparer.Ordinal)];

    private QuantizationOptions Options(string output) => new()
    {
        ModelPath = Path.Combine(Repository.Root, "samples", "stories-llama"), ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File(output),
        MaxQuality = true, TuningSteps = 0, GroupSize = 128, SampleCount = 8, SequenceLength = 128, ForceCpu = true,
        CalibrationData = [Path.Combine(Repository.Root, "module", "Calibration", "narrative.txt")],
    };

    private string Hash(string output) => string.Join("\n", Directory.GetFiles(temporary.File(output)).Order(StringComparer.Ordinal)
        .Select(f => Path.GetFileName(f) + " " + Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(f)))));
}
