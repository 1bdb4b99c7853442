using System.Runtime.InteropServices;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Packing;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>What is rounded straight from the map is, in every family's layout, what the layers' own way of loading gives.</summary>
public sealed unsafe class PlainCheckpointTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    public void Dispose() => temporary.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void HoldsTheTensorsOfTheLoadedLayers(string name)
    {
        var options = new QuantizationOptions
        {
            ModelPath = Path.Combine(TinyModel.Root, name), ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File("out"), GroupSize = 32, NoCalibration = true,
        };
        QuantizationRun.Execute(options, new RecordingObserver(), default);
        using var scope = NewDisposeScope();
        using var source = ModelFolder.Open(options.ModelPath);
        using var made = ModelFolder.Open(options.OutputPath!);
        var graph = Repository.Catalog.Resolve(source.Config.Root, source.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape));
        using var model = DecoderModel.Open(graph, new FolderTensorSource(source), CPU);
        var expected = graph.OuterTensors.Select(t => t.Name).Where(source.Tensors.ContainsKey).ToHashSet();
        for (var i = 0; i < graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            var kept = ModuleSelection.StayFloat(layer.Graph, 32, []);
            var quantized = layer.Graph.Linears.Where(l => !kept.ContainsKey(l.Module)).ToList();
            foreach (var stored in layer.Weights.StoredTensors(quantized.Select(l => l.Module).ToHashSet()))
            {
                expected.Add(stored.FullName);
                var values = new float[stored.Value.numel()];
                made.ReadFloat(stored.FullName, values);
                var want = stored.KeepFloat32 ? stored.Value : stored.Value.to(ScalarType.Float16).to(ScalarType.Float32);
                Assert.Equal(new ReadOnlySpan<float>(TensorMemory.Floats(want.contiguous()), values.Length), values);
            }
            foreach (var linear in quantized)
            {
                var rounded = LinearRounding.Plain(layer.Weights[linear.Module + ".weight"], 32, ComputeDevice.Host);
                var packed = AwqPacking.Pack(rounded.Codes, rounded.Zeros, Array.ConvertAll(rounded.Scales, s => (Half)s), linear.Out, linear.In, 32);
                var full = layer.Graph.Prefix + linear.Module;
                Assert.Equal(MemoryMarshal.AsBytes(packed.QWeight.AsSpan()), Bytes(full + ".qweight"));
                Assert.Equal(MemoryMarshal.AsBytes(packed.QZeros.AsSpan()), Bytes(full + ".qzeros"));
                Assert.Equal(MemoryMarshal.AsBytes(packed.Scales.AsSpan()), Bytes(full + ".scales"));
                expected.UnionWith([full + ".qweight", full + ".qzeros", full + ".scales"]);
            }
        }
        Assert.Equal(expected.Order(StringComparer.Ordinal), made.Tensors.Keys.Order(StringComparer.Ordinal));

        ReadOnlySpan<byte> Bytes(string tensor) => new(made.Pointer(tensor), (int)made.Entry(tensor).ByteLength);
    }

    [Fact]
    public void NamesALinearWithInfiniteWeights()
    {
        var folder = temporary.File("source");
        Directory.CreateDirectory(folder);
        foreach (var file in Directory.GetFiles(Path.Combine(Repository.Root, "samples", "stories-llama")))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        long offset;
        using (var model = ModelFolder.Open(folder))
            offset = model.Entry("model.layers.2.mlp.up_proj.weight").Offset;
        using (var stream = new FileStream(Path.Combine(folder, "model.safetensors"), FileMode.Open))
        {
            stream.Position = offset + 2 * 30_001;
            stream.Write([0x80, 0x7F]); // infinity in bfloat16
        }
        var options = new QuantizationOptions { ModelPath = folder, ModuleRoot = Path.Combine(Repository.Root, "module"), OutputPath = temporary.File("out"), GroupSize = 64, NoCalibration = true };
        var error = Assert.Throws<AwqException>(() => QuantizationRun.Execute(options, new RecordingObserver(), default));
        Assert.Equal("TensorNotFinite", error.Id);
        Assert.Contains("model.layers.2.mlp.up_proj.weight", error.Message);
        Assert.False(Directory.Exists(temporary.File("out")));
    }
}
