using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;
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
        var (config, tensors) = PublishedFamilies.All[name];
        File.WriteAllText(model.File(ModelFolder.ConfigFile), config);
        var shapes = RandomModel.Shapes(tensors);
        var source = new RandomModel(shapes);
        PartFile.Write(model.File(ModelFolder.SingleFile), [.. shapes.Select(s =>
        {
            using var values = source.Read(s.Key, CPU);
            return TensorPayload.From(s.Key, TensorDtype.F32, s.Value, values.data<float>().ToArray());
        })]);
        RoundTrip.Check(model.Path, rows: 8, length: 48, vocabulary: 50);
        Assert.Equal(JsonNode.Parse(config)!["model_type"]!.GetValue<string>(), name.Split('-')[0]);
    }
}
