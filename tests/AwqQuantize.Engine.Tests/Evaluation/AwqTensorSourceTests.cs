using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Packing;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Evaluation;

public sealed class AwqTensorSourceTests(QuantizedSample sample) : IClassFixture<QuantizedSample>
{
    [Fact]
    public void AnIndependentUnpackerReadsTheSameWeights()
    {
        using var model = ModelSource.Open(sample.Path, Repository.Catalog);
        Assert.Equal(28, model.QuantizedModules.Count);
        foreach (var module in model.QuantizedModules)
        {
            using var scope = NewDisposeScope();
            var read = model.Tensors.Read(module + ".weight", CPU);
            Assert.Equal(model.Tensors.Shape(module + ".weight"), read.shape);
            Assert.Equal(Independent(model.Folder, module, model.Quantization!.GroupSize), read.data<float>().ToArray());
        }
    }

    /// <summary>One layer, quantised and written: the file holds exactly the weights that the layer computed with.</summary>
    [Fact]
    public void TheFileHoldsTheWeightsThatWereMeasured()
    {
        using var outer = NewDisposeScope();
        using var source = ModelSource.Open(QuantizedSample.Source, Repository.Catalog);
        using var model = DecoderModel.Open(source.Graph, source.Tensors, CPU);
        using var layer = model.LoadLayer(0);
        var ids = WholeModel.TokenizerOf(QuantizedSample.Source).Encode(QuantizedSample.Story, false).Take(64).Select(i => (long)i).ToArray();
        using var hidden = new HiddenStates(1, 64, source.Graph.HiddenSize);
        hidden.Store(0, model.Embed(tensor(ids, [1, 64])));
        var settings = new AwqSettings { GroupSize = 32 };
        var quantizer = new LayerQuantizer(layer, hidden, settings, ModuleSelection.StayFloat(layer.Graph, 32, []), new MicroBatch(1, "unused", (_, _) => { }), default);
        quantizer.Run();
        using var folder = new TemporaryFolder();
        using (var part = new LayerPart(layer, quantizer.Quantized))
            part.Write(folder.File("model.safetensors"));
        folder.Write("config.json", """{"model_type":"llama"}""");
        using var written = ModelFolder.Open(folder.Path);
        Assert.Equal(7, quantizer.Quantized.Count);
        foreach (var (module, linear) in quantizer.Quantized)
        {
            var independent = Independent(written, layer.Graph.Prefix + module, 32);
            Assert.Equal(layer.Weights[module + ".weight"].data<float>().ToArray(), independent);
            Assert.Equal(Dequantized(linear), independent);
        }
    }

    [Fact]
    public void EverythingElseIsAsInTheFolder()
    {
        using var scope = NewDisposeScope();
        using var model = ModelSource.Open(sample.Path, Repository.Catalog);
        var norm = ReferenceUnpacker.Read<Half>(model.Folder, "model.norm.weight").Select(h => (float)h);
        Assert.Equal(norm, model.Tensors.Read("model.norm.weight", CPU).data<float>().ToArray());
        Assert.False(model.Tensors.Contains("model.layers.0.mlp.up_proj.qweight"));
        Assert.True(model.Tensors.Contains("model.layers.0.mlp.up_proj.weight"));
        Assert.Equal("TensorMissing", Assert.Throws<AwqException>(() => model.Tensors.Read("model.nothing.weight", CPU)).Id);
    }

    [Theory]
    [InlineData("scales missing", "AwqTensorInvalid")]
    [InlineData("wrong group size", "AwqTensorInvalid")]
    [InlineData("other width", "QuantizationNotSupported")]
    public void WhatDoesNotFitIsRefused(string defect, string id)
    {
        using var copy = new Surgery(sample.Path);
        PlantedDefects.All[defect].Plant(copy);
        Assert.Equal(id, Assert.Throws<AwqException>(() => ModelSource.Open(copy.Path, Repository.Catalog)).Id);
    }

    private static unsafe float[] Dequantized(QuantizedLinear linear)
    {
        var values = new float[linear.Codes.Length];
        fixed (float* destination = values)
            linear.Dequantize(destination);
        return values;
    }

    private static float[] Independent(ModelFolder folder, string module, int group)
    {
        var shape = folder.Entry(module + ".qweight").Shape;
        return ReferenceUnpacker.Dequantize(ReferenceUnpacker.Read<int>(folder, module + ".qweight"), ReferenceUnpacker.Read<int>(folder, module + ".qzeros"),
            ReferenceUnpacker.Read<Half>(folder, module + ".scales"), (int)shape[1] * 8, (int)shape[0], group);
    }
}
