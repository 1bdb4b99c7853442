using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Compute;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Every reference model is quantised from folder to folder; the logits of the result are held against those of transformers.</summary>
public sealed class ReferenceModelTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    public void Dispose() => temporary.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void IsNeverFurtherFromTheFloatModelThanPlainRounding(string name)
    {
        var plain = Divergence(name, Options(name, "plain", 32) with { NoCalibration = true });
        Assert.True(plain > 0);
        for (var seed = 1; seed <= 3; seed++)
        {
            var ours = Divergence(name, Options(name, $"seed{seed}", 32) with { CalibrationData = [Tokens(name, seed)] });
            Assert.True(ours <= plain, $"seed {seed}: {ours:g4} nats, plain rounding {plain:g4}");
        }
    }

    /// <summary>What the loss makes of outputs is found for every family; nothing of the tuning that would come after hides what comes of it.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void FittedToTheLossItIsNearerToTheFloatModelThanPlainRounding(string name)
    {
        var plain = Divergence(name, Options(name, "plain", 32) with { NoCalibration = true });
        var options = Options(name, "ours", 32) with { CalibrationData = [Tokens(name, 1)], MaxQuality = true, TuningSteps = 0 };
        Assert.NotNull(QuantizationRun.Plan(options, new RecordingObserver(), default).Gradients);
        var observer = new RecordingObserver();
        var ours = Divergence(name, options, observer: observer);
        Assert.True(ours < plain, $"{ours:g4} nats, plain rounding {plain:g4}");
        Assert.DoesNotContain(observer.Warnings, w => w.Id is "GradientsSkipped" or "GradientsNotFinite");
    }

    /// <summary>The first GPU makes what the CPU makes, measured on the CPU.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void OnAGpuItIsAsGoodAsOnTheCpu(string name)
    {
        var team = DeviceTeam.Of(Gpu.Require());
        var options = Options(name, "cpu", 32) with { CalibrationData = [Tokens(name, 1)] };
        var onCpu = Divergence(name, options);
        var onGpu = Divergence(name, options with { OutputPath = temporary.File("gpu") }, team);
        Assert.InRange(onGpu / onCpu, 0.5, 1.25);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void QuantisesInGroupsOf128UnderTheNamesThatReadersExpect(string name)
    {
        var options = Options(name, "out", 128) with { CalibrationData = [Tokens(name, 9)] };
        var divergence = Divergence(name, options);
        Assert.InRange(divergence, 1e-6, 1);
        using var made = ModelSource.Open(options.OutputPath!, Repository.Catalog);
        // What stays float is named, and no entry means more than it should.
        foreach (var layer in made.Graph.Layers)
            foreach (var linear in layer.Linears)
            {
                var module = layer.Prefix + linear.Module;
                Assert.NotEqual(made.QuantizedModules.Contains(module), made.Quantization!.IsExcluded(module));
                if (linear.KeepFloatReason is not null)
                    Assert.DoesNotContain(module, made.QuantizedModules);
            }
        Assert.NotEmpty(made.QuantizedModules);
    }

    /// <summary>Mean KL divergence of the finished folder's logits from the reference's.</summary>
    private static double Divergence(string name, QuantizationOptions options, DeviceTeam? team = null, RecordingObserver? observer = null)
    {
        QuantizationRun.Execute(options, observer ?? new RecordingObserver(), default, null, team);
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        using var reference = TinyModel.Open(name);
        using var made = ModelSource.Open(options.OutputPath!, Repository.Catalog);
        using var model = DecoderModel.Open(made.Graph, made.Tensors, CPU);
        var hidden = model.Embed(reference.Ids);
        for (var i = 0; i < made.Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            hidden = layer.Forward(hidden);
        }
        var p = nn.functional.log_softmax(reference.Float("logits"), 2);
        var q = nn.functional.log_softmax(model.Logits(hidden), 2);
        return (p.exp() * (p - q)).sum(-1).mean().item<float>();
    }

    private QuantizationOptions Options(string name, string output, int groupSize) => new()
    {
        ModelPath = Path.Combine(TinyModel.Root, name), ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File(output),
        ForceCpu = true, GroupSize = groupSize, SampleCount = 16, SequenceLength = 64,
    };

    /// <summary>Random calibration tokens, as a file.</summary>
    private string Tokens(string name, int seed)
    {
        using var model = TinyModel.Open(name);
        return RandomTokens.Write(temporary.File($"ids{seed}.safetensors"), seed, model.Graph.VocabularySize, 16, 64);
    }
}
