using AwqQuantize.Engine.Evaluation;

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
        var folder = SharedData.Repository($"tests/data/tiny/{family}");
        using var source = ModelSource.Open(folder, Repository.Catalog);
        RoundTrip.Check(folder, rows: 4, length: 64, source.Graph.VocabularySize);
    }
}
