using System.Text;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests.Checkpoints;

public sealed unsafe class ModelFolderTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void AModelIsOpenedAndCounted()
    {
        using var model = ModelFolder.Open(SharedData.Repository("samples/stories-llama"));
        Assert.Equal("llama", model.Config.ModelType);
        Assert.False(model.IsQuantized);
        var embedding = model.Entry("model.embed_tokens.weight");
        Assert.Equal([1024, 128], embedding.Shape);
        Assert.Equal(model.Tensors.Values.Sum(t => t.Shape.Aggregate(1L, (a, b) => a * b)), model.ParameterCount);
        Assert.Equal(model.Tensors.Values.Sum(t => t.ByteLength), model.ByteSize);
    }

    [Fact]
    public void FloatsAreReadFromEveryFloatType()
    {
        float[] values = [1.5f, -2.25f, 0.0078125f, 384f];
        var f64 = values.SelectMany(v => BitConverter.GetBytes((double)v)).ToArray();
        var f32 = values.SelectMany(BitConverter.GetBytes).ToArray();
        var f16 = values.SelectMany(v => BitConverter.GetBytes((Half)v)).ToArray();
        var bf16 = values.SelectMany(v => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(v) >> 16))).ToArray();
        // One byte in front, so that nothing is aligned.
        byte[] data = [0, .. f64, .. f32, .. f16, .. bf16];
        var header = """{"i":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"f64":{"dtype":"F64","shape":[4],"data_offsets":[1,33]},"f32":{"dtype":"F32","shape":[2,2],"data_offsets":[33,49]},"f16":{"dtype":"F16","shape":[4],"data_offsets":[49,57]},"bf16":{"dtype":"BF16","shape":[4],"data_offsets":[57,65]}}""";
        Write("{}", SafetensorsBytes.Make(Encoding.UTF8.GetBytes(header), data));
        using var model = ModelFolder.Open(folder.Path);
        foreach (var name in new[] { "f64", "f32", "f16", "bf16" })
        {
            var result = new float[4];
            model.ReadFloat(name, result);
            Assert.Equal(values, result);
        }
        var error = Assert.Throws<AwqException>(() => model.ReadFloat("i", new float[1]));
        Assert.Equal("TensorDtypeNotSupported", error.Id);
        Assert.Contains("'i'", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => model.ReadFloat("f32", new float[3]));
        Assert.Equal("TensorMissing", Assert.Throws<AwqException>(() => model.ReadFloat("nothing", new float[1])).Id);
        Assert.Equal("TensorMissing", Assert.Throws<AwqException>(() => (nint)model.Pointer("nothing")).Id);
    }

    [Fact]
    public void ShardsAreFoundThroughTheIndex()
    {
        Shard("model-00001-of-00002.safetensors", "a", 1);
        Shard("parts/two.safetensors", "b", 2);
        Index("""{"a":"model-00001-of-00002.safetensors","b":"parts/two.safetensors"}""");
        using var model = ModelFolder.Open(folder.Path);
        Assert.Equal(["a", "b"], model.Tensors.Keys.Order());
        Assert.Equal(2, *model.Pointer("b"));
        Assert.Equal(2, model.Files.Count);
    }

    [Fact]
    public void LinksAreFollowedAsInTheHuggingFaceCache()
    {
        using var blobs = new TemporaryFolder();
        Shard("blob", "a", 5);
        File.Move(folder.File("blob"), blobs.File("3f2a"));
        File.Delete(folder.File("config.json"));
        File.WriteAllText(blobs.File("77aa"), "{\"model_type\":\"llama\"}");
        File.CreateSymbolicLink(folder.File("model.safetensors"), Path.GetRelativePath(folder.Path, blobs.File("3f2a")));
        File.CreateSymbolicLink(folder.File("config.json"), Path.GetRelativePath(folder.Path, blobs.File("77aa")));
        using (var model = ModelFolder.Open(folder.Path))
            Assert.Equal(5, *model.Pointer("a"));
        File.Delete(blobs.File("3f2a"));
        Assert.Equal("FileMissing", Assert.Throws<AwqException>(() => ModelFolder.Open(folder.Path)).Id);
    }

    [Theory]
    [InlineData("../model.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("a/../../b")]
    [InlineData("..\\b")]
    [InlineData("C:\\b")]
    [InlineData("\\\\server\\share")]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("a//b")]
    public void AnIndexThatLeavesTheFolderIsRefused(string name)
    {
        Index($$"""{"a":{{System.Text.Json.JsonSerializer.Serialize(name)}}}""");
        Assert.Equal("CheckpointIndexUnsafe", Assert.Throws<AwqException>(() => ModelFolder.Open(folder.Path)).Id);
    }

    [Theory]
    [InlineData("""{}""")]
    [InlineData("""[]""")]
    [InlineData("""{"a":3}""")]
    [InlineData("""{"a":null}""")]
    [InlineData("null")]
    public void AMalformedIndexIsRefused(string map)
    {
        Index(map);
        Assert.Equal("CheckpointIndexInvalid", Assert.Throws<AwqException>(() => ModelFolder.Open(folder.Path)).Id);
    }

    [Fact]
    public void AMissingShardIsNamed()
    {
        Shard("one.safetensors", "a", 1);
        Index("""{"a":"one.safetensors","b":"two.safetensors"}""");
        var error = Assert.Throws<AwqException>(() => ModelFolder.Open(folder.Path));
        Assert.Equal("CheckpointShardMissing", error.Id);
        Assert.Contains("two.safetensors", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATensorThatItsShardLacksIsNamed()
    {
        Shard("one.safetensors", "a", 1);
        Index("""{"a":"one.safetensors","b":"one.safetensors"}""");
        var error = Assert.Throws<AwqException>(() => ModelFolder.Open(folder.Path));
        Assert.Equal("CheckpointTensorNotInShard", error.Id);
        Assert.Contains("'b'", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.gguf", "CheckpointIsGguf")]
    [InlineData("pytorch_model.bin", "CheckpointIsPickle")]
    [InlineData("consolidated.00.pth", "CheckpointIsPickle")]
    [InlineData("adapter.safetensors", "CheckpointIndexMissing")]
    [InlineData("notes.md", "CheckpointMissing")]
    public void AFolderWithoutReadableWeightsSaysWhatItHas(string file, string id)
    {
        folder.Write("config.json", "{}");
        folder.Write(file, "x");
        Assert.Equal(id, Assert.Throws<AwqException>(() => ModelFolder.Open(folder.Path)).Id);
    }

    [Fact]
    public void AMissingFolderAndAMissingConfigAreNamed()
    {
        Assert.Equal("ModelFolderMissing", Assert.Throws<AwqException>(() => ModelFolder.Open(folder.File("no"))).Id);
        Shard("model.safetensors", "a", 1);
        File.Delete(folder.File("config.json"));
        Assert.Equal("ModelConfigMissing", Assert.Throws<AwqException>(() => ModelFolder.Open(folder.Path)).Id);
        Assert.Equal("ModelFolderMissing", Assert.Throws<AwqException>(() => ModelFolder.Open(folder.File("model.safetensors"))).Id);
    }

    [Fact]
    public void AQuantisedFolderIsRecognisedWithAndWithoutItsConfig()
    {
        Write("""{"quantization_config":{"quant_method":"gptq"}}""", SafetensorsBytes.Tensor("a.weight", "U8", "[1]", [1]));
        using (var model = ModelFolder.Open(folder.Path))
            Assert.True(model.IsQuantized);
        Write("{}", SafetensorsBytes.Tensor("a.qweight", "U8", "[1]", [1]));
        using (var model = ModelFolder.Open(folder.Path))
            Assert.True(model.IsQuantized);
    }

    private void Write(string config, byte[] weights)
    {
        folder.Write("config.json", config);
        folder.Write("model.safetensors", weights);
    }

    private void Shard(string file, string tensor, byte value)
    {
        folder.Write("config.json", "{}");
        folder.Write(file, SafetensorsBytes.Tensor(tensor, "U8", "[1]", [value]));
    }

    private void Index(string map)
    {
        folder.Write("config.json", "{}");
        folder.Write("model.safetensors.index.json", $$"""{"metadata":{"total_size":1},"weight_map":{{map}}}""");
    }
}
