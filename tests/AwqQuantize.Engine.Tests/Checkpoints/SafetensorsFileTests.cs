using System.Buffers.Binary;
using System.Text.Json;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests.Checkpoints;

public sealed unsafe class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void AFileOfAnotherProgramIsReadAsItsHeaderSays()
    {
        var path = SharedData.Repository("tests/data/tiny/llama/reference.safetensors");
        var bytes = File.ReadAllBytes(path);
        var headerLength = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        using var header = JsonDocument.Parse(bytes.AsMemory(8, headerLength));
        using var file = SafetensorsFile.Open(path);
        var expected = header.RootElement.EnumerateObject().Where(p => p.Name != "__metadata__").ToList();
        Assert.Equal(expected.Select(p => p.Name).Order(), file.Tensors.Keys.Order());
        Assert.True(file.Metadata.ContainsKey("made"));
        foreach (var tensor in expected)
        {
            var entry = file.Tensors[tensor.Name];
            var start = tensor.Value.GetProperty("data_offsets")[0].GetInt64();
            var end = tensor.Value.GetProperty("data_offsets")[1].GetInt64();
            Assert.Equal(tensor.Value.GetProperty("dtype").GetString(), entry.Dtype.ToString());
            Assert.Equal(tensor.Value.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64()), entry.Shape);
            Assert.Equal(bytes.AsSpan(8 + headerLength + (int)start, (int)(end - start)), new ReadOnlySpan<byte>(file.Pointer(entry), (int)entry.ByteLength));
        }
    }

    [Theory]
    [InlineData("BOOL", 8)]
    [InlineData("U8", 8)]
    [InlineData("I8", 8)]
    [InlineData("F8_E5M2", 8)]
    [InlineData("F8_E4M3", 8)]
    [InlineData("F8_E8M0", 8)]
    [InlineData("I16", 16)]
    [InlineData("U16", 16)]
    [InlineData("F16", 16)]
    [InlineData("BF16", 16)]
    [InlineData("I32", 32)]
    [InlineData("U32", 32)]
    [InlineData("F32", 32)]
    [InlineData("C64", 64)]
    [InlineData("F64", 64)]
    [InlineData("I64", 64)]
    [InlineData("U64", 64)]
    [InlineData("F4", 4)]
    [InlineData("F6_E2M3", 6)]
    [InlineData("F6_E3M2", 6)]
    public void EveryElementTypeOfTheFormatIsKnown(string dtype, int bits)
    {
        var path = folder.Write("a.safetensors", SafetensorsBytes.Tensor("x", dtype, "[2,4]", new byte[bits]));
        using var file = SafetensorsFile.Open(path);
        Assert.Equal(dtype, file.Tensors["x"].Dtype.ToString());
        Assert.Equal(bits, file.Tensors["x"].ByteLength);
    }

    [Fact]
    public void ScalarsEmptyTensorsPaddingAndEscapesAreRead()
    {
        var header = """{"__metadata__":{"format":"pt"},"\u00e4":{"shape":[],"dtype":"F32","data_offsets":[0,4]},"none":{"dtype":"F32","shape":[0,9223372036854775807,3],"data_offsets":[4,4]}}      """;
        using var file = SafetensorsFile.Open(folder.Write("a.safetensors", SafetensorsBytes.Make(header, 4)));
        Assert.Equal(1, file.Tensors["ä"].ElementCount);
        Assert.Equal(0, file.Tensors["none"].ElementCount);
        Assert.Equal("pt", file.Metadata["format"]);
    }

    [Fact]
    public void ReleasedPagesAreReadAgain()
    {
        var data = new byte[1 << 20];
        new Random(1).NextBytes(data);
        using var file = SafetensorsFile.Open(folder.Write("a.safetensors", SafetensorsBytes.Tensor("x", "U8", "[1048576]", data)));
        var entry = file.Tensors["x"];
        Assert.Equal(data, new ReadOnlySpan<byte>(file.Pointer(entry), data.Length));
        file.Release(entry);
        Assert.Equal(data, new ReadOnlySpan<byte>(file.Pointer(entry), data.Length));
    }

    public static TheoryData<string, string, string> BadHeaders => new()
    {
        { "not JSON", "hello, world", "SafetensorsHeaderInvalid" },
        { "an array", "[1,2]", "SafetensorsHeaderInvalid" },
        { "cut short", """{"a":{"dtype":"F32",""", "SafetensorsHeaderInvalid" },
        { "text behind it", """{} {}""", "SafetensorsHeaderInvalid" },
        { "too deep", "{\"a\":" + new string('[', 5000) + new string(']', 5000) + "}", "SafetensorsHeaderInvalid" },
        { "a tensor that is a number", """{"a":3}""", "SafetensorsHeaderInvalid" },
        { "no dtype", """{"a":{"shape":[2],"data_offsets":[0,8]}}""", "SafetensorsHeaderInvalid" },
        { "an unknown field", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]}}""", "SafetensorsHeaderInvalid" },
        { "a field twice", """{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}""", "SafetensorsHeaderInvalid" },
        { "metadata that is no text", """{"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "SafetensorsHeaderInvalid" },
        { "a lone surrogate", """{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "SafetensorsHeaderInvalid" },
        { "an unknown type", """{"a":{"dtype":"F12","shape":[2],"data_offsets":[0,8]}}""", "SafetensorsDtypeUnknown" },
        { "a type by number", """{"a":{"dtype":"3","shape":[2],"data_offsets":[0,8]}}""", "SafetensorsDtypeUnknown" },
        { "a type in lower case", """{"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}}""", "SafetensorsDtypeUnknown" },
        { "beyond the end", """{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", "SafetensorsOffsetsInvalid" },
        { "backwards", """{"a":{"dtype":"F32","shape":[0],"data_offsets":[8,4]}}""", "SafetensorsOffsetsInvalid" },
        { "a negative offset", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}""", "SafetensorsShapeInvalid" },
        { "a fraction", """{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}""", "SafetensorsShapeInvalid" },
        { "three offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}}""", "SafetensorsShapeInvalid" },
        { "an offset beyond 64 bits", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551616]}}""", "SafetensorsShapeInvalid" },
        { "a shape that does not fill it", """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}""", "SafetensorsShapeInvalid" },
        { "a shape whose product overflows to the right size", """{"a":{"dtype":"F32","shape":[4611686018427387905,2],"data_offsets":[0,8]}}""", "SafetensorsShapeInvalid" },
        { "half a byte", """{"a":{"dtype":"F4","shape":[17],"data_offsets":[0,8]}}""", "SafetensorsShapeInvalid" },
        { "rank 100", """{"a":{"dtype":"U8","shape":[""" + string.Join(',', Enumerable.Repeat(1, 100)) + """],"data_offsets":[0,8]}}""", "SafetensorsShapeInvalid" },
        { "an overlap", """{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", "SafetensorsOffsetsInvalid" },
        { "a hole", """{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", "SafetensorsOffsetsInvalid" },
        { "bytes left over", """{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}""", "SafetensorsOffsetsInvalid" },
        { "one name twice", """{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", "SafetensorsDuplicateTensor" },
    };

    [Theory]
    [MemberData(nameof(BadHeaders))]
    public void AMalformedHeaderIsRefusedByName(string what, string header, string id)
    {
        var path = folder.Write("a.safetensors", SafetensorsBytes.Make(header, 8));
        var error = Assert.Throws<AwqException>(() => SafetensorsFile.Open(path));
        Assert.True(error.Id == id, $"{what}: {error.Id} ({error.Message})");
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(error.Remedy);
        // Nothing may hold the file after a refusal.
        using var exclusive = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
    }

    [Fact]
    public void AHeaderThatIsNotUtf8IsRefused()
    {
        byte[] header = [.. "{\""u8, 0xff, 0xfe, .. "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"u8];
        var path = folder.Write("a.safetensors", SafetensorsBytes.Make(header, [0]));
        Assert.Equal("SafetensorsHeaderInvalid", Assert.Throws<AwqException>(() => SafetensorsFile.Open(path)).Id);
    }

    [Theory]
    [InlineData(0, "SafetensorsTruncated")]
    [InlineData(7, "SafetensorsTruncated")]
    [InlineData(9, "SafetensorsTruncated")]
    [InlineData(40, "SafetensorsTruncated")]
    [InlineData(-1, "SafetensorsOffsetsInvalid")]
    public void EveryTruncationIsRefused(int length, string id)
    {
        var bytes = SafetensorsBytes.Tensor("x", "F32", "[4]", new byte[16]);
        var path = folder.Write("a.safetensors", bytes[..(length < 0 ? bytes.Length + length : length)]);
        Assert.Equal(id, Assert.Throws<AwqException>(() => SafetensorsFile.Open(path)).Id);
    }

    [Theory]
    [InlineData(100_000_001ul)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1ul << 63)]
    public void AHugeHeaderLengthIsRefusedBeforeAnythingIsAllocated(ulong length)
    {
        var bytes = SafetensorsBytes.Tensor("x", "F32", "[4]", new byte[16]);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        var path = folder.Write("a.safetensors", bytes);
        Assert.Equal("SafetensorsHeaderTooLarge", Assert.Throws<AwqException>(() => SafetensorsFile.Open(path)).Id);
    }

    [Fact]
    public void RandomDamageNeverEndsInAnotherError()
    {
        var random = new Random(7);
        for (var round = 0; round < 300; round++)
        {
            var bytes = SafetensorsBytes.Make("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[1,2],"data_offsets":[4,8]}}""", 8);
            for (var i = 0; i < 1 + round % 3; i++)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            var path = folder.Write("a.safetensors", bytes);
            try
            {
                using var file = SafetensorsFile.Open(path);
                Assert.All(file.Tensors.Values, t => Assert.True(t.Offset + t.ByteLength <= bytes.Length));
            }
            catch (AwqException)
            {
                // Refused: as it should be.
            }
        }
    }

    [Fact]
    public void AMissingFileAndAFolderAreNamed()
    {
        Assert.Equal("FileMissing", Assert.Throws<AwqException>(() => SafetensorsFile.Open(folder.File("no.safetensors"))).Id);
        Assert.Equal("FileAccessDenied", Assert.Throws<AwqException>(() => SafetensorsFile.Open(folder.Path)).Id);
    }

    [Fact]
    public void ADisposedFileGivesNoPointers()
    {
        var file = SafetensorsFile.Open(folder.Write("a.safetensors", SafetensorsBytes.Tensor("x", "F32", "[1]", new byte[4])));
        var entry = file.Tensors["x"];
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => (nint)file.Pointer(entry));
    }
}
