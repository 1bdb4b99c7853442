using AwqQuantize.Engine.Evaluation;

namespace AwqQuantize.Engine.Tests.Evaluation;

public sealed class ModelMeasurementTests
{
    private static readonly string Sample = SharedData.Repository("samples/stories-llama");

    private static readonly string[] Stories =
    [
        "Once upon a time, there was a little girl named Lily. She liked to play outside in the park with her big red ball. One day, the ball "
        + "rolled into the pond. Lily was sad. A kind duck saw her and pushed the ball back. Lily said thank you and they became friends. ",
        "Tom and his dog Max went to the beach. They saw a big shell in the sand. Tom wanted to keep it, but a crab came out and said, "
        + "\"This is my home!\" Tom said sorry and gave it back. The crab was happy and showed them where the best shells were. ",
    ];

    /// <summary>What AutoAWQ's own output gives, against figures that were computed with transformers (golden data's README).</summary>
    [Fact]
    [Trait("Category", "Acceptance")]
    public void AutoAwqsFolderMeasuresAsInTheGoldenData()
    {
        using var quantized = ModelSource.Open(SharedData.Require("golden/autoawq_babyllama361_g32"), Repository.Catalog);
        using var source = ModelSource.Open(SharedData.Require("models/babyllama361-hf"), Repository.Catalog);
        using var folder = new TemporaryFolder();
        var text = folder.Write("held-out.txt", File.ReadAllBytes(SharedData.Require("text/tinystories_2M.txt"))[^60000..]);
        var result = ModelMeasurement.Run(quantized, source, new MeasurementOptions { Texts = [text], Context = 256 }).Overall;
        Assert.Equal((234, 59_670), (result.Windows, result.Predictions));
        Assert.Equal(2.6029, result.Perplexity, 2e-4);
        Assert.Equal(2.5315, result.ReferencePerplexity!.Value, 2e-4);
        Assert.Equal(0.0266, result.KlDivergence!.Value, 1e-4);
        Assert.Equal(0.926, result.TopAgreement!.Value, 1e-3);
    }

    [Fact]
    public void PerplexityIsWhatTheWholeModelGivesAtOnce()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("a.txt", Stories[0]);
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        var result = ModelMeasurement.Run(source, null, new MeasurementOptions { Texts = [text], Context = 32 });
        var ids = WholeModel.TokenizerOf(Sample).Encode(Stories[0], false);
        var (sum, count) = (0.0, 0);
        for (var start = 0; start + 32 <= ids.Length; start += 32)
        {
            var losses = WholeModel.Losses(source, ids[start..(start + 32)]);
            sum += losses.Sum();
            count += losses.Length;
        }
        Assert.Equal(count, result.Overall.Predictions);
        Assert.Equal(Math.Exp(sum / count), result.Overall.Perplexity, 1e-4);
        Assert.Null(result.Overall.KlDivergence);
    }

    [Fact]
    public void OverlappingWindowsCountEveryTokenOnceWithTheMostContext()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("a.txt", Stories[0]);
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        var result = ModelMeasurement.Run(source, null, new MeasurementOptions { Texts = [text], Context = 32, Stride = 8, MaximumTokens = 56 });
        var ids = WholeModel.TokenizerOf(Sample).Encode(Stories[0], false);
        var losses = WholeModel.Losses(source, ids[..32]).ToList();
        for (var start = 8; start + 32 <= 56; start += 8)
            losses.AddRange(WholeModel.Losses(source, ids[start..(start + 32)])[^8..]);
        Assert.Equal(55, losses.Count);
        Assert.Equal(55, result.Overall.Predictions);
        Assert.Equal(Math.Exp(losses.Average()), result.Overall.Perplexity, 1e-4);
    }

    [Fact]
    public void TextsAreAlsoMeasuredByThemselves()
    {
        using var folder = new TemporaryFolder();
        string[] texts = [folder.Write("a.txt", Stories[0]), folder.Write("b.txt", Stories[1])];
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        var both = ModelMeasurement.Run(source, null, new MeasurementOptions { Texts = texts, Context = 16 });
        var alone = texts.Select(t => ModelMeasurement.Run(source, null, new MeasurementOptions { Texts = [t], Context = 16 }).Overall).ToList();
        Assert.Equal(texts, both.Texts.Select(t => t.Source));
        for (var i = 0; i < 2; i++)
            Assert.Equal(alone[i].Perplexity, both.Texts[i].Perplexity, 1e-9);
        var mean = alone.Sum(a => Math.Log(a.Perplexity) * a.Predictions) / alone.Sum(a => a.Predictions);
        Assert.Equal(Math.Exp(mean), both.Overall.Perplexity, 1e-9);
        Assert.NotEqual(alone[0].Perplexity, alone[1].Perplexity, 0.05);
    }

    [Fact]
    public void AModelIsNoDistanceFromItself()
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        var result = ModelMeasurement.Run(source, source, new MeasurementOptions { Texts = [folder.Write("a.txt", Stories[0])], Context = 64 }).Overall;
        Assert.Equal(0, result.KlDivergence!.Value, 1e-12);
        Assert.Equal(1, result.TopAgreement);
        Assert.Equal(result.Perplexity, result.ReferencePerplexity);
    }

    [Fact]
    public void ErrorsOfMeansComeFromWindows()
    {
        var statistics = new WindowStatistics();
        double[] sums = [10, 14, 9, 15];
        foreach (var sum in sums)
            statistics.Add(sum, 4);
        // With windows of one size it is the textbook's standard error of the windows' means: 2.5, 3.5, 2.25, 3.75.
        Assert.Equal(3, statistics.Mean, 1e-12);
        Assert.Equal(Math.Sqrt((0.25 + 0.25 + 0.5625 + 0.5625) / 3 / 4), statistics.Error!.Value, 1e-12);
        var single = new WindowStatistics();
        single.Add(3, 4);
        Assert.Null(single.Error);
    }

    [Fact]
    public void BosIsPutInFrontOfEveryWindowAndPredictsItsFirstToken()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("a.txt", Stories[0]);
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        var tokenizer = WholeModel.TokenizerOf(Sample);
        Assert.NotNull(tokenizer.BosId);
        var result = ModelMeasurement.Run(source, null, new MeasurementOptions { Texts = [text], Context = 16, AddBos = true, MaximumTokens = 32 });
        var ids = tokenizer.Encode(Stories[0], false);
        var losses = WholeModel.Losses(source, [tokenizer.BosId.Value, .. ids[..16]]).Concat(WholeModel.Losses(source, [tokenizer.BosId.Value, .. ids[16..32]]));
        Assert.Equal(32, result.Overall.Predictions);
        Assert.Equal(Math.Exp(losses.Average()), result.Overall.Perplexity, 1e-4);
    }

    [Theory]
    [InlineData(1, null, "EvaluationOptionInvalid")]
    [InlineData(16, 17, "EvaluationOptionInvalid")]
    [InlineData(16, 0, "EvaluationOptionInvalid")]
    public void SenselessWindowsAreRefused(int context, int? stride, string id)
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        var options = new MeasurementOptions { Texts = [folder.Write("a.txt", Stories[0])], Context = context, Stride = stride };
        Assert.Equal(id, Assert.Throws<AwqException>(() => ModelMeasurement.Run(source, null, options)).Id);
    }

    [Fact]
    public void MissingAndEmptyTextsAreRefused()
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        string Error(string file) => Assert.Throws<AwqException>(() => ModelMeasurement.Run(source, null, new MeasurementOptions { Texts = [file] })).Id;
        Assert.Equal("EvaluationTextMissing", Error(folder.File("none.txt")));
        Assert.Equal("EvaluationTextEmpty", Error(folder.Write("empty.txt", "")));
    }

    [Fact]
    public void CancellingEndsIt()
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(Sample, Repository.Catalog);
        using var cancel = new CancellationTokenSource();
        var options = new MeasurementOptions { Texts = [folder.Write("a.txt", Stories[0])], Context = 16 };
        Assert.Throws<OperationCanceledException>(() => ModelMeasurement.Run(source, null, options, (status, _) =>
        {
            if (status.Contains("layer 2"))
                cancel.Cancel();
        }, cancel.Token));
    }
}
