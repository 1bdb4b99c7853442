using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>Families without reference outputs, quantised with all folds, read back, and compared with their source with the folds undone.</summary>
public sealed class PublishedRoundTripTests
{
    public static TheoryData<string> Cases => [.. PublishedFamilies.All.Keys];

    [Theory]
    [MemberData(nameof(Cases))]
    public void WhatIsReadBackIsTheSourceOnceFoldsAreUndone(string name)
    {
        using var model = new TemporaryFolder();
        using var output = new TemporaryFolder();
        var (config, tensors) = PublishedFamilies.All[name];
        File.WriteAllText(model.File(ModelFolder.ConfigFile), config);
        var shapes = RandomModel.Shapes(tensors);
        var source = new RandomModel(shapes);
        PartFile.Write(model.File(ModelFolder.SingleFile), [.. shapes.Select(s =>
        {
            using var values = source.Read(s.Key, CPU);
            return TensorPayload.From(s.Key, TensorDtype.F32, s.Value, values.data<float>().ToArray());
        })]);
        var random = new Random(7);
        PartFile.Write(output.File("ids.safetensors"),
            [TensorPayload.From("ids", TensorDtype.I32, [8, 48], Enumerable.Range(0, 8 * 48).Select(_ => random.Next(50)).ToArray())]);
        var result = QuantizationRun.Execute(new QuantizationOptions
        {
            ModelPath = model.Path, ModuleRoot = SharedData.Repository("module"), OutputPath = output.File("out"), GroupSize = 32, ForceCpu = true,
            CalibrationData = [output.File("ids.safetensors")], SampleCount = 8, SequenceLength = 48,
        }, new SilentObserver(), default);
        var test = OutputTest.Run(new OutputTestOptions { Path = result.Path, SourcePath = model.Path }, Repository.Catalog);
        Assert.True(result.QuantizedModules > 0);
        Assert.Equal(result.QuantizedModules, test.Modules.Count);
        Assert.True(test.Passed, string.Join("\n", test.Checks.Where(c => c.Status is CheckStatus.Failed)));
        Assert.InRange(test.LargestRelativeError!.Value, 0.01, 0.4);
        Assert.Equal(JsonNode.Parse(config)!["model_type"]!.GetValue<string>(), name.Split('-')[0]);
    }
}
