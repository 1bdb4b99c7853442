using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Layers;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>Models of unknown architecture, experts in MXFP4, text parts of larger models, and experts that are shown all tokens.</summary>
public sealed unsafe class UnusualModelTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>Random weights predict nothing, so a guessed family is not believed: plain rounding, or an error.</summary>
    [Fact]
    public void AGuessThatMakesNoSenseIsRoundedPlainly()
    {
        var folder = Copy("llama", "guess", n => n, c => c["model_type"] = "unheard_of");
        var observer = new RecordingObserver();
        QuantizationRun.Execute(Options(folder, "guessed"), observer, default);
        Assert.Contains(observer.Warnings, w => w.Id == "ArchitectureGuessed");
        Assert.Contains(observer.Warnings, w => w.Id == "ArchitectureGuessWrong" && w.Message.Contains("PLAINLY"));
        QuantizationRun.Execute(Options(Tiny("llama"), "plain") with { NoCalibration = true }, new RecordingObserver(), default);
        Assert.Equal(Tensors("plain", n => n), Tensors("guessed", n => n));
        Assert.Equal("ArchitectureNotSupported", Assert.Throws<AwqException>(() =>
            QuantizationRun.Execute(Options(folder, "strict") with { Strict = true }, new RecordingObserver(), default)).Id);
        Assert.False(Directory.Exists(temporary.File("strict")));
    }

    /// <summary>Tensors that fit no family: what looks like a linear is rounded, the rest is carried over.</summary>
    [Fact]
    public void ForeignTensorsAreRoundedPlainly()
    {
        static string Foreign(string name) => name.Replace("model.layers", "burrow.den").Replace("self_attn", "dig").Replace("mlp", "eat").Replace("model.embed_tokens", "burrow.words");
        var folder = Copy("llama", "foreign", Foreign, c => c["model_type"] = "wombat");
        var observer = new RecordingObserver();
        var result = QuantizationRun.Execute(Options(folder, "wombat"), observer, default);
        Assert.Contains(observer.Warnings, w => w.Id == "ArchitectureUnknown" && w.Message.Contains("PLAINLY"));
        Assert.Equal(14, result.QuantizedModules);
        QuantizationRun.Execute(Options(Tiny("llama"), "plain") with { NoCalibration = true }, new RecordingObserver(), default);
        Assert.Equal(Tensors("plain", Foreign), Tensors("wombat", n => n));
        Assert.Equal("ArchitectureNotSupported", Assert.Throws<AwqException>(() =>
            QuantizationRun.Execute(Options(folder, "strict") with { Strict = true }, new RecordingObserver(), default)).Id);
        using var source = Evaluation.ModelSourceOf(temporary.File("wombat"));
        Assert.True(source.Graph.LinearsOnly);
    }

    /// <summary>Routers, norms and embeddings of layers nobody knows stay float.</summary>
    [Fact]
    public void ForeignRoutersStayFloat()
    {
        var folder = Copy("qwen3_moe", "foreign", n => n.Replace("model.layers", "strange.stack"), c => c["model_type"] = "wombat");
        var result = QuantizationRun.Execute(Options(folder, "out"), new RecordingObserver(), default);
        Assert.Equal(["strange.stack.0.mlp.gate", "strange.stack.1.mlp.gate"], result.FloatModules.Keys.Where(k => k.EndsWith("gate", StringComparison.Ordinal)).Order());
        Assert.Contains("strange.stack.1.mlp.experts.3.down_proj", result.Layers[1].Linears.Select(l => $"strange.stack.1.{l.Module}"));
    }

    /// <summary>E2M1 values with E8M0 scales, as OCP's specification defines them, are the float model that they stand for.</summary>
    [Fact]
    public void ExpertsInMxfp4AreReadAsTheFloatsTheyStandFor()
    {
        var random = new Random(3);
        var (packed, floats) = (new List<TensorPayload>(), new List<TensorPayload>());
        using (var source = ModelFolder.Open(Tiny("gpt_oss")))
        {
            foreach (var (name, entry) in source.Tensors.Where(t => t.Key.EndsWith("_proj", StringComparison.Ordinal) && t.Value.Shape.Length == 3))
            {
                var (experts, inputs, outputs) = (entry.Shape[0], entry.Shape[1], entry.Shape[2]);
                var groups = inputs / 32;
                var (blocks, scales) = (new byte[experts * outputs * groups * 16], new byte[experts * outputs * groups]);
                random.NextBytes(blocks);
                for (var i = 0; i < scales.Length; i++)
                    scales[i] = (byte)random.Next(121, 125);
                var values = new float[experts * inputs * outputs];
                for (var e = 0L; e < experts; e++)
                    for (var o = 0L; o < outputs; o++)
                        for (var i = 0L; i < inputs; i++)
                        {
                            var group = (e * outputs + o) * groups + i / 32;
                            var bits = blocks[group * 16 + i % 32 / 2] >> (int)(i % 2 * 4) & 15;
                            var (exponent, mantissa) = (bits >> 1 & 3, bits & 1);
                            var magnitude = exponent == 0 ? 0.5 * mantissa : (1 + 0.5 * mantissa) * Math.Pow(2, exponent - 1);
                            values[(e * inputs + i) * outputs + o] = (float)((bits & 8) == 0 ? magnitude : -magnitude) * MathF.Pow(2, scales[group] - 127);
                        }
                packed.Add(TensorPayload.From(name + "_blocks", TensorDtype.U8, [experts, outputs, groups, 16], blocks));
                packed.Add(TensorPayload.From(name + "_scales", TensorDtype.U8, [experts, outputs, groups], scales));
                floats.Add(TensorPayload.From(name, TensorDtype.F32, entry.Shape, values));
            }
        }
        Assert.Equal(4, floats.Count);
        var names = floats.Select(f => f.Name).ToHashSet();
        var mxfp4 = Copy("gpt_oss", "mxfp4", n => n, c => c["quantization_config"] = JsonNode.Parse("""{"quant_method":"mxfp4","modules_to_not_convert":["lm_head"]}"""), packed, names);
        var plain = Copy("gpt_oss", "plain", n => n, _ => { }, floats, names);
        var (one, other) = (QuantizationRun.Execute(Options(mxfp4, "a"), new RecordingObserver(), default), QuantizationRun.Execute(Options(plain, "b"), new RecordingObserver(), default));
        Assert.Equal(other.Size, one.Size);
        Assert.Equal(Tensors("b", n => n), Tensors("a", n => n));
        QuantizationRun.Execute(Options(mxfp4, "c") with { NoCalibration = true, CalibrationData = [] }, new RecordingObserver(), default);
        QuantizationRun.Execute(Options(plain, "d") with { NoCalibration = true, CalibrationData = [] }, new RecordingObserver(), default);
        Assert.Equal(Tensors("d", n => n), Tensors("c", n => n));
        Assert.Equal("awq", (string?)ModelConfig.Load(Path.Combine(temporary.File("a"), "config.json")).Root["quantization_config"]!["quant_method"]);
    }

    /// <summary>A text model under a multimodal name is quantised where nothing else is in the folder; else it is said what is.</summary>
    [Fact]
    public void TheTextPartOfALargerModel()
    {
        static string Under(string name) => name.StartsWith("model.", StringComparison.Ordinal) ? $"language_{name.Replace("model.", "model.model.")}" : name;
        static void Nest(JsonObject config)
        {
            var text = config.DeepClone().AsObject();
            config.Clear();
            (config["model_type"], config["text_config"], config["vision_config"]) = ("gemma3", text, new JsonObject());
        }
        var folder = Copy("gemma3_text", "nested", Under, Nest);
        var result = QuantizationRun.Execute(Options(folder, "text"), new RecordingObserver(), default);
        Assert.Contains("gemma3_text", result.Architecture);
        QuantizationRun.Execute(Options(Tiny("gemma3_text"), "plain"), new RecordingObserver(), default);
        Assert.Equal(Tensors("plain", Under), Tensors("text", n => n));
        var sees = Copy("gemma3_text", "sees", Under, Nest, [TensorPayload.From("vision_tower.patch.weight", TensorDtype.F32, [2, 2], new float[4])]);
        var error = Assert.Throws<AwqException>(() => QuantizationRun.Execute(Options(sees, "never"), new RecordingObserver(), default));
        Assert.Equal("ArchitectureNotSupported", error.Id);
        Assert.Contains("vision_tower.patch.weight", error.Message);
    }

    /// <summary>With few tokens some experts see next to none, which is counted, unless every expert is shown all of them.</summary>
    [Fact]
    public void ExpertsCanBeFittedToAllTokens()
    {
        var options = Options(Tiny("qwen3_moe"), "routed") with { SampleCount = 1, SequenceLength = 16 };
        var (routed, all) = (new RecordingObserver(), new RecordingObserver());
        var few = QuantizationRun.Execute(options, routed, default);
        var full = QuantizationRun.Execute(options with { OutputPath = temporary.File("all"), CalibrateEveryExpert = true }, all, default);
        static List<long> Tokens(AwqQuantizationResult result) => [.. result.Layers.SelectMany(l => l.Linears).Where(l => l.Module.Contains(".experts.")).Select(l => l.Tokens).Distinct()];
        Assert.Contains(routed.Warnings, w => w.Message.Contains("rounded plainly"));
        Assert.Contains(Tokens(few), t => t < 16);
        Assert.DoesNotContain(all.Warnings, w => w.Message.Contains("rounded plainly"));
        Assert.Equal([16L], Tokens(full));
        Assert.NotEqual(Tensors("routed", n => n), Tensors("all", n => n));
    }

    private static string Tiny(string name) => Path.Combine(Repository.Root, "tests", "data", "tiny", name);

    private QuantizationOptions Options(string model, string output) => new()
    {
        ModelPath = model, ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File(output),
        ForceCpu = true, GroupSize = 32, SampleCount = 4, SequenceLength = 64, CalibrationData = [RandomTokens.Write(temporary.File("ids.safetensors"), 7, 160, 4, 64)],
    };

    /// <summary>A tiny model under other names, with a changed config, and with other tensors in place of some.</summary>
    private string Copy(string name, string folder, Func<string, string> rename, Action<JsonObject> change, IReadOnlyList<TensorPayload>? more = null, IReadOnlySet<string>? without = null)
    {
        var path = temporary.File(folder);
        Directory.CreateDirectory(path);
        using var source = ModelFolder.Open(Tiny(name));
        var tensors = source.Tensors.Values.Where(t => without?.Contains(t.Name) != true)
            .Select(t => TensorPayload.FromPointer(rename(t.Name), t.Dtype, t.Shape, source.Pointer(t.Name), t.ByteLength)).Concat(more ?? []);
        PartFile.Write(Path.Combine(path, ModelFolder.SingleFile), [.. tensors.OrderBy(t => t.Name, StringComparer.Ordinal)]);
        var config = source.Config.Root.DeepClone().AsObject();
        change(config);
        File.WriteAllText(Path.Combine(path, ModelFolder.ConfigFile), config.ToJsonString());
        return path;
    }

    private Dictionary<string, string> Tensors(string output, Func<string, string> rename)
    {
        using var made = ModelFolder.Open(temporary.File(output));
        return made.Tensors.Values.ToDictionary(t => rename(t.Name),
            t => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(new ReadOnlySpan<byte>(made.Pointer(t.Name), (int)t.ByteLength))));
    }

    private static class Evaluation
    {
        public static Engine.Evaluation.ModelSource ModelSourceOf(string path) => Engine.Evaluation.ModelSource.Open(path, Repository.Catalog);
    }
}
