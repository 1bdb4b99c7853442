using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>
/// Families whose checkpoints look different: transposed linears, stacked and interleaved experts, fused projections, norms of
/// 1 + w, biases, shared norms. Each is quantised with all folds, read back, and compared with its source with the folds undone.
/// </summary>
public sealed class FamilyRoundTripTests
{
    [Theory]
    [InlineData("gpt2")]
    [InlineData("gpt_oss")]
    [InlineData("llama4_text")]
    [InlineData("qwen3_moe")]
    [InlineData("deepseek_v3")]
    [InlineData("gemma2")]
    [InlineData("phi3")]
    [InlineData("falcon_7b")]
    [InlineData("bloom")]
    [InlineData("opt")]
    [InlineData("gpt_neox")]
    [InlineData("cohere2")]
    [InlineData("starcoder2")]
    [InlineData("qwen3_next")]
    public void WhatIsReadBackIsTheSourceOnceFoldsAreUndone(string family)
    {
        using var model = new Surgery(SharedData.Repository($"tests/data/tiny/{family}"));
        using var source = ModelSource.Open(model.Path, Repository.Catalog);
        var random = new Random(7);
        var ids = Enumerable.Range(0, 4 * 64).SelectMany(_ => BitConverter.GetBytes((long)random.Next(source.Graph.VocabularySize)));
        using var folder = new TemporaryFolder();
        model.Save("ids.safetensors", new() { ["ids"] = new("I64", [4, 64], [.. ids]) }, format: true);
        var result = QuantizationRun.Execute(new QuantizationOptions
        {
            ModelPath = model.Path, ModuleRoot = SharedData.Repository("module"), OutputPath = folder.File("out"), GroupSize = 32, ForceCpu = true,
            CalibrationData = [model.File("ids.safetensors")], SampleCount = 4, SequenceLength = 64,
        }, new SilentObserver(), default);
        var test = OutputTest.Run(new OutputTestOptions { Path = result.Path, SourcePath = model.Path }, Repository.Catalog);
        Assert.True(result.QuantizedModules > 0);
        Assert.Equal(result.QuantizedModules, test.Modules.Count);
        Assert.True(test.Passed, string.Join("\n", test.Checks.Where(c => c.Status is CheckStatus.Failed)));
        Assert.InRange(test.LargestRelativeError!.Value, 0.01, 0.4);
    }
}
