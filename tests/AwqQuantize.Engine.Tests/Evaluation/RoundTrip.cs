using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>Quantises a folder with all folds, reads the result back, and compares it with its source with the folds undone.</summary>
internal static class RoundTrip
{
    private const int GroupSize = 32;

    /// <param name="model">The folder.</param>
    /// <param name="rows">Rows of random token ids.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="vocabulary">Ids are below this.</param>
    public static void Check(string model, int rows, int length, int vocabulary)
    {
        using var output = new TemporaryFolder();
        var result = QuantizationRun.Execute(new QuantizationOptions
        {
            ModelPath = model, ModuleRoot = SharedData.Repository("module"), OutputPath = output.File("out"), GroupSize = GroupSize, ForceCpu = true,
            CalibrationData = [RandomTokens.Write(output.File("ids.safetensors"), 7, vocabulary, rows, length)], SampleCount = rows, SequenceLength = length,
        }, new SilentObserver(), default);
        var test = OutputTest.Run(new OutputTestOptions { Path = result.Path, SourcePath = model }, Repository.Catalog);
        Assert.True(result.QuantizedModules > 0);
        Assert.Equal(result.QuantizedModules, test.Modules.Count);
        Assert.True(test.Passed, string.Join("\n", test.Checks.Where(c => c.Status is CheckStatus.Failed)));
        Assert.InRange(test.LargestRelativeError!.Value, 0.01, 0.4);
    }
}
