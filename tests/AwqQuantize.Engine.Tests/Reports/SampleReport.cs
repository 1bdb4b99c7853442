using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Reports;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Tests.Reports;

/// <summary>Made-up data of a run, with everything in it that a report can show.</summary>
internal static class SampleReport
{
    public static QuantizationReport Report => new()
    {
        Version = "0.1.0", Model = "Toy <b>&</b> Model", Architecture = "llama", SourceSize = 1_837_312, Size = 702_000, BitsPerWeight = 4.15625, GroupSize = 128,
        QuantizedModules = 28, FloatModules = new Dictionary<string, string> { ["model.layers.0.mlp.gate"] = "router" }, Device = "cpu",
        Sensitivity =
        [
            new ModuleSensitivity(new ModuleSet(2, "self_attn.o_proj", ["self_attn.o_proj"], 16384), 0.002, 0.01234, true),
            new ModuleSensitivity(new ModuleSet(1, "self_attn.qkv_proj", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], 32768), 0.001, null, false),
        ],
        LayerBits = [4.15625, 4.15625, 5.3125, 4.15625], Tuning = new TuningOutcome(300, 275, 123_904, 8192, 0.01475, 0.00865),
        Settings = new Dictionary<string, string> { ["Rounding"] = "Compensated", ["CalibrationRows"] = "128" },
        Layers = [.. Enumerable.Range(0, 4).Select(Layer)], Duration = TimeSpan.FromSeconds(93), PeakMemory = 512L << 20, Warnings = ["Only 512 calibration tokens are used."],
    };

    public static AwqTestResult Test => new()
    {
        Path = "/models/toy/AWQ-4bit", SourcePath = "/models/toy", Duration = TimeSpan.FromSeconds(3), SampleText = "there was a <little> girl",
        Checks =
        [
            new AwqCheck("Files", CheckStatus.Passed, "", "All there."),
            new AwqCheck("Scales", CheckStatus.Failed, "model.layers.1.self_attn.q_proj", "1 of 128 scales are zero."),
            new AwqCheck("Vllm", CheckStatus.Warning, "", "The slow kernel."),
            new AwqCheck("Sample", CheckStatus.NotRun, "", "No prompt was given."),
        ],
        Modules = [new ModuleError("model.layers.0.self_attn.q_proj", 0.102, 0.15, 0.2), new ModuleError("model.layers.3.mlp.down_proj", 0.184, 0.31, 0.42)],
        Measurement = new AwqMeasurement
        {
            Path = "/models/toy/AWQ-4bit", ReferencePath = "/models/toy", Context = 512, Stride = 512, Duration = TimeSpan.FromSeconds(2), Overall = Figures("all"), Texts = [Figures("a.txt"), Figures("b.txt")],
        },
    };

    private static TextMeasurement Figures(string source) => new()
    {
        Source = source, Windows = 4, Predictions = 2044, Perplexity = 5.1234, PerplexityError = 0.04, ReferencePerplexity = 5.0123, KlDivergence = 0.02345, KlDivergenceError = 0.001, TopAgreement = 0.931, TopAgreementError = 0.004,
    };

    private static LayerOutcome Layer(int index) => new()
    {
        Layer = index, SequenceLength = 512, LargestActivation = 20 + 30 * index, Float = new Dictionary<string, string>(), Warnings = index == 2 ? ["Expert 3 saw 4 calibration tokens: rounded plainly."] : [],
        Groups =
        [
            new ScaleGroupOutcome("input_layernorm -> self_attn.q_proj, self_attn.k_proj, self_attn.v_proj", default, 0.4, 2.5 + index, 0.8, 1.0 + 0.1 * index, 1e-7, index == 3),
            new ScaleGroupOutcome("post_attention_layernorm -> mlp.gate_proj, mlp.up_proj", default, 0.3, 3.1, 0.9, 1.0, 2e-7, false),
        ],
        Linears = [new LinearOutcome("self_attn.q_proj", 0.01 * (index + 1), 8192), new LinearOutcome("mlp.down_proj", 0.2 / (index + 1), 8192)],
        Seconds = new Dictionary<string, double> { ["statistics"] = 1.5, ["rounding"] = 2.5 + index },
    };
}
