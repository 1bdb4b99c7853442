using System.Management.Automation;

namespace AwqQuantize.Tests.Commands;

public sealed class MeasureAwqModelTests(QuantizedSample sample) : IClassFixture<QuantizedSample>
{
    private static double Figure(PSObject result, string name) => Convert.ToDouble(((PSObject)PSObject.AsPSObject(result.Properties["Overall"].Value)).Properties[name].Value);

    [Fact]
    public void MeasuresFloatAndQuantisedModelsFromThePipeline()
    {
        using var session = new ModuleSession();
        var run = session.Run("$float, $awq | Measure-AwqModel -Text $text -ContextLength 64", ("float", sample.Model), ("awq", sample.Output), ("text", sample.Text)).ThrowOnError();
        Assert.Equal(2, run.Output.Count);
        Assert.InRange(Figure(run.Output[0], "Perplexity"), 1, 50);
        Assert.NotEqual(Figure(run.Output[0], "Perplexity"), Figure(run.Output[1], "Perplexity"));
        Assert.InRange(Figure(run.Output[1], "Perplexity") / Figure(run.Output[0], "Perplexity"), 0.8, 1.5);
    }

    [Fact]
    public void TakesTheReferenceFromAPropertyAndEachTextByItself()
    {
        using var session = new ModuleSession();
        var input = "[pscustomobject]@{ Path = $awq; SourcePath = $float } | Measure-AwqModel -Text $texts -ContextLength 64 -Stride 32 -MaximumToken 128";
        var result = Assert.Single(session.Run(input, ("float", sample.Model), ("awq", sample.Output), ("texts", Path.Combine(sample.Root, "*.txt"))).ThrowOnError().Output);
        Assert.Equal(sample.Model, result.Properties["ReferencePath"].Value);
        Assert.Equal(32, result.Properties["Stride"].Value);
        Assert.InRange(Figure(result, "KlDivergence"), 1e-5, 1);
        Assert.InRange(Figure(result, "TopAgreement"), 0.5, 1);
        // Of 128 tokens all but the first are predicted, in each of two texts.
        Assert.Equal(254, Figure(result, "Predictions"));
    }

    [Fact]
    public void ErrorsAreClear()
    {
        using var session = new ModuleSession();
        Assert.Equal("EvaluationTextMissing", session.Run("Measure-AwqModel $path -Text nowhere.txt", ("path", sample.Model)).ErrorId);
        Assert.Equal("PathNotFound", session.Run("Measure-AwqModel $path -Text nowhere*.txt", ("path", sample.Model)).ErrorId);
        Assert.Equal("EvaluationOptionInvalid", session.Run("Measure-AwqModel $path -Text $text -ContextLength 8 -Stride 16", ("path", sample.Model), ("text", sample.Text)).ErrorId);
        var run = session.Run("Measure-AwqModel nowhere, $path -Text $text", ("path", sample.Model), ("text", sample.Text));
        Assert.Equal("ModelFolderMissing", run.ErrorId);
        Assert.Single(run.Output);
    }
}
