using System.Text.Json;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests.Checkpoints;

public sealed unsafe class CheckpointWriterTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void ASmallCheckpointIsOneFile()
    {
        var files = CheckpointWriter.Write(folder.Path, [Bytes("a", 1, 10), Bytes("b", 2, 20)]);
        Assert.Equal(["model.safetensors"], files);
        Assert.Equal(["model.safetensors"], Directory.GetFiles(folder.Path).Select(Path.GetFileName));
        using var file = SafetensorsFile.Open(folder.File("model.safetensors"));
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal(20, file.Tensors["b"].ByteLength);
        Assert.Equal(2, file.Pointer(file.Tensors["b"])[19]);
    }

    [Fact]
    public void ShardsAreFilledInOrderAndIndexed()
    {
        var files = CheckpointWriter.Write(folder.Path, [Bytes("c", 1, 60), Bytes("a", 2, 40), Bytes("b", 3, 1), Bytes("d", 4, 300), Bytes("e", 5, 5)], maxShardBytes: 100);
        Assert.Equal(["model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors", "model-00003-of-00004.safetensors",
            "model-00004-of-00004.safetensors", "model.safetensors.index.json"], files);
        using var index = JsonDocument.Parse(File.ReadAllText(folder.File("model.safetensors.index.json")));
        Assert.Equal(406, index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        var map = index.RootElement.GetProperty("weight_map").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()![6..11]);
        Assert.Equal(new Dictionary<string, string> { ["a"] = "00001", ["b"] = "00002", ["c"] = "00001", ["d"] = "00003", ["e"] = "00004" }, map);
        folder.Write("config.json", "{}");
        using var model = ModelFolder.Open(folder.Path);
        Assert.Equal(4, *model.Pointer("d"));
    }

    [Fact]
    public void EveryTensorIsAligned()
    {
        TensorPayload[] payloads =
        [
            TensorPayload.From("half", TensorDtype.F16, [3], new Half[3]), Bytes("byte", 1, 1),
            TensorPayload.From("int", TensorDtype.I32, [3], new int[3]), TensorPayload.From("long", TensorDtype.I64, [1], new long[1]),
        ];
        CheckpointWriter.Write(folder.Path, payloads);
        using var file = SafetensorsFile.Open(folder.File("model.safetensors"));
        Assert.All(file.Tensors.Values, t => Assert.Equal(0, t.Offset % (t.Dtype.BitSize() / 8)));
    }

    [Fact]
    public void PartsAndTheWholeGiveTheSameBytesTwice()
    {
        var random = new Random(5);
        var payloads = Enumerable.Range(0, 12).Select(i =>
        {
            var data = new byte[4 * random.Next(1, 2000)];
            random.NextBytes(data);
            return TensorPayload.FromBytes($"layer.{i}", i % 3 == 0 ? TensorDtype.I32 : TensorDtype.F16, [data.Length / (i % 3 == 0 ? 4 : 2)], data);
        }).ToArray();
        var parts = payloads.Chunk(3).Select((chunk, i) =>
        {
            var path = folder.File($"part-{i:D5}.safetensors");
            PartFile.Write(path, chunk);
            return path;
        }).ToList();
        var (first, second) = (Directory.CreateDirectory(folder.File("one")).FullName, Directory.CreateDirectory(folder.File("two")).FullName);
        long told = 0;
        var files = CheckpointAssembler.Assemble(parts, first, 9000, new Sink(v => told = v));
        CheckpointAssembler.Assemble(parts, second, 9000);
        Assert.Equal(payloads.Sum(p => p.ByteLength), told);
        Assert.True(files.Count > 3);
        foreach (var file in files)
            Assert.Equal(File.ReadAllBytes(Path.Combine(first, file)), File.ReadAllBytes(Path.Combine(second, file)));
        folder.Write("one/config.json", "{}");
        using var model = ModelFolder.Open(first);
        Assert.Equal(payloads.Length, model.Tensors.Count);
        foreach (var payload in payloads)
        {
            using var expected = new MemoryStream();
            payload.Write(expected);
            Assert.Equal(expected.ToArray(), new ReadOnlySpan<byte>(model.Pointer(payload.Name), (int)payload.ByteLength));
            Assert.Equal(payload.Shape, model.Entry(payload.Name).Shape);
        }
    }

    [Fact]
    public void ReplacementsTakeThePlaceOfTensorsOfTheirName()
    {
        PartFile.Write(folder.File("p1"), [Bytes("a", 1, 1), Bytes("b", 2, 2)]);
        PartFile.Write(folder.File("new"), [Bytes("b", 3, 2), Bytes("of no part", 4, 1)]);
        var target = Directory.CreateDirectory(folder.File("out")).FullName;
        CheckpointAssembler.Assemble([folder.File("p1")], target, replacements: folder.File("new"));
        PartFile.Write(folder.File("expected"), [Bytes("a", 1, 1), Bytes("b", 3, 2)]);
        using var made = SafetensorsFile.Open(Path.Combine(target, "model.safetensors"));
        using var expected = SafetensorsFile.Open(folder.File("expected"));
        Assert.Equal(expected.Tensors.Keys.Order(), made.Tensors.Keys.Order());
        foreach (var name in made.Tensors.Keys)
            Assert.Equal(Content(expected, name), Content(made, name));

        static unsafe byte[] Content(SafetensorsFile file, string name) => new ReadOnlySpan<byte>(file.Pointer(file.Tensors[name]), (int)file.Tensors[name].ByteLength).ToArray();
    }

    [Fact]
    public void ATensorInTwoPartsIsRefused()
    {
        PartFile.Write(folder.File("p1"), [Bytes("a", 1, 1)]);
        PartFile.Write(folder.File("p2"), [Bytes("a", 1, 1)]);
        var target = Directory.CreateDirectory(folder.File("out")).FullName;
        Assert.Equal("PartTensorDuplicate", Assert.Throws<AwqException>(() => CheckpointAssembler.Assemble([folder.File("p1"), folder.File("p2")], target)).Id);
        Assert.Empty(Directory.GetFiles(target));
    }

    [Theory]
    [InlineData(1e6f, "TensorOverflowsHalf")]
    [InlineData(float.NaN, "TensorNotFinite")]
    [InlineData(float.NegativeInfinity, "TensorNotFinite")]
    public void WhatFloat16CannotHoldIsNamedAndNothingIsLeft(float value, string id)
    {
        var bytes = new float[] { 1, value, 2 }.SelectMany(BitConverter.GetBytes).ToArray();
        folder.Write("config.json", "{}");
        folder.Write("model.safetensors", SafetensorsBytes.Tensor("norm.weight", "F32", "[3]", bytes));
        using var model = ModelFolder.Open(folder.Path);
        var error = Assert.Throws<AwqException>(() => PartFile.Write(folder.File("part"), [TensorPayload.AsHalf(model, "norm.weight")]));
        Assert.Equal(id, error.Id);
        Assert.Contains("norm.weight", error.Message, StringComparison.Ordinal);
        float[] values = [1, value, 2];
        fixed (float* v = values)
        {
            var pointer = (nint)v;
            Assert.Equal(id, Assert.Throws<AwqException>(() => PartFile.Write(folder.File("part"), [TensorPayload.HalfFromFloat("x", [3], (float*)pointer)])).Id);
        }
        Assert.Equal(["config.json", "model.safetensors"], Directory.GetFiles(folder.Path).Select(Path.GetFileName).Order());
    }

    [Theory]
    [InlineData("tiny/llama")]
    [InlineData("tiny/qwen2")]
    public void FloatTensorsOfAModelBecomeHalf(string name)
    {
        using var source = ModelFolder.Open(SharedData.Repository("tests/data/" + name));
        PartFile.Write(folder.File("model.safetensors"), [.. source.Tensors.Keys.Order().Select(t => TensorPayload.AsHalf(source, t))]);
        folder.Write("config.json", "{}");
        using var copy = ModelFolder.Open(folder.Path);
        foreach (var entry in source.Tensors.Values)
        {
            // bfloat16 to half: the reference goes through the framework's scalar conversion.
            var expected = new byte[2 * entry.ElementCount];
            for (var i = 0; i < entry.ElementCount; i++)
            {
                var bits = (uint)((ushort*)source.Pointer(entry.Name))[i] << 16;
                BitConverter.TryWriteBytes(expected.AsSpan(2 * i), (Half)BitConverter.UInt32BitsToSingle(bits));
            }
            Assert.Equal(TensorDtype.F16, copy.Entry(entry.Name).Dtype);
            Assert.Equal(expected, new ReadOnlySpan<byte>(copy.Pointer(entry.Name), expected.Length));
        }
    }

    [Fact]
    public void AFolderWithWeightsIsNotWrittenOver()
    {
        folder.Write("model.safetensors", "precious");
        Assert.Equal("DestinationHasWeights", Assert.Throws<AwqException>(() => CheckpointWriter.Write(folder.Path, [Bytes("a", 1, 1)])).Id);
        Assert.Equal("precious", File.ReadAllText(folder.File("model.safetensors")));
    }

    [Fact]
    public void AMissingDestinationIsAnErrorThatNamesIt()
    {
        var error = Assert.Throws<AwqException>(() => PartFile.Write(folder.File("no/part"), [Bytes("a", 1, 1)]));
        Assert.Equal("DestinationWriteFailed", error.Id);
        Assert.Contains(folder.File("no/part"), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnInterruptedPartLeavesTheOldOne()
    {
        PartFile.Write(folder.File("part"), [Bytes("a", 1, 3)]);
        var before = File.ReadAllBytes(folder.File("part"));
        var failing = new TensorPayload("b", TensorDtype.U8, [4], _ => throw new IOException("disk full"));
        Assert.Equal("DestinationWriteFailed", Assert.Throws<AwqException>(() => PartFile.Write(folder.File("part"), [Bytes("a", 9, 3), failing])).Id);
        Assert.Equal(before, File.ReadAllBytes(folder.File("part")));
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void APayloadThatWritesTooLittleIsAProgrammingError()
    {
        Assert.Throws<InvalidOperationException>(() => PartFile.Write(folder.File("part"), [new TensorPayload("b", TensorDtype.U8, [4], s => s.Write([1, 2, 3]))]));
        Assert.Throws<ArgumentException>(() => PartFile.Write(folder.File("part"), [Bytes("a", 1, 1), Bytes("a", 1, 1)]));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void CancellingLeavesNoFile()
    {
        using var source = new CancellationTokenSource();
        var tensors = new[] { Bytes("a", 1, 1), new TensorPayload("b", TensorDtype.U8, [1], s => { s.WriteByte(1); source.Cancel(); }), Bytes("c", 1, 1) };
        Assert.Throws<OperationCanceledException>(() => CheckpointWriter.Write(folder.Path, tensors, cancellation: source.Token));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    private static TensorPayload Bytes(string name, byte value, int length) =>
        TensorPayload.FromBytes(name, TensorDtype.U8, [length], Enumerable.Repeat(value, length).ToArray());

    private sealed class Sink(Action<long> action) : IProgress<long>
    {
        public void Report(long value) => action(value);
    }
}
