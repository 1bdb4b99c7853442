using System.Text.Json;

namespace AwqQuantize.Engine.Checkpoints;

/// <summary>
/// The JSON at the start of a safetensors file, validated as strictly as the reference implementation does: the tensors
/// fill the data area without holes or overlaps.
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>Limit of the reference implementation.</summary>
    public const long MaxByteLength = 100_000_000;

    private const int MaxRank = 64;

    private SafetensorsHeader(Dictionary<string, TensorEntry> tensors, Dictionary<string, string> metadata)
    {
        Tensors = tensors;
        Metadata = metadata;
    }

    public IReadOnlyDictionary<string, TensorEntry> Tensors { get; }

    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <param name="json">Header bytes, with any padding.</param>
    /// <param name="file">Full path, for entries and messages.</param>
    /// <param name="dataStart">Offset of the data area in the file.</param>
    /// <param name="dataLength">Bytes of the data area.</param>
    /// <exception cref="AwqException"><c>Safetensors…</c>: the header is malformed; the message says how.</exception>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, string file, long dataStart, long dataLength)
    {
        var tensors = new Dictionary<string, TensorEntry>(StringComparer.Ordinal);
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            // Tensors nest three deep; anything deeper is not a header.
            var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 8 });
            Expect(ref reader, JsonTokenType.StartObject, file);
            var metadataSeen = false;
            while (Next(ref reader, file) == JsonTokenType.PropertyName)
            {
                var name = reader.GetString()!;
                if (name == "__metadata__")
                {
                    if (metadataSeen)
                        throw Invalid("SafetensorsHeaderInvalid", file, "the header has two __metadata__ entries");
                    metadataSeen = true;
                    ReadMetadata(ref reader, metadata, file);
                    continue;
                }
                var entry = ReadTensor(ref reader, name, file, dataStart, dataLength);
                if (!tensors.TryAdd(name, entry))
                    throw Invalid("SafetensorsDuplicateTensor", file, $"tensor '{name}' is listed twice");
            }
            if (reader.TokenType != JsonTokenType.EndObject)
                throw Invalid("SafetensorsHeaderInvalid", file, "the header is not a JSON object");
            // Only padding may follow; Read throws at anything else.
            reader.Read();
        }
        catch (JsonException e)
        {
            throw Invalid("SafetensorsHeaderInvalid", file, "the header is not valid JSON, or nested too deep", e);
        }
        catch (InvalidOperationException e)
        {
            // Utf8JsonReader's answer to bytes that are not UTF-8 and to lone surrogates.
            throw Invalid("SafetensorsHeaderInvalid", file, "the header holds text that is not valid Unicode", e);
        }
        CheckLayout(tensors, file, dataStart, dataLength);
        return new SafetensorsHeader(tensors, metadata);
    }

    private static TensorEntry ReadTensor(ref Utf8JsonReader reader, string name, string file, long dataStart, long dataLength)
    {
        string? dtypeName = null;
        long[]? shape = null;
        long[]? offsets = null;
        Expect(ref reader, JsonTokenType.StartObject, file);
        while (Next(ref reader, file) == JsonTokenType.PropertyName)
        {
            var duplicate = false;
            var key = reader.GetString();
            switch (key)
            {
                case "dtype":
                    Expect(ref reader, JsonTokenType.String, file);
                    duplicate = dtypeName is not null;
                    dtypeName = reader.GetString();
                    break;
                case "shape":
                    duplicate = shape is not null;
                    shape = ReadSizes(ref reader, file, name, "shape", MaxRank);
                    break;
                case "data_offsets":
                    duplicate = offsets is not null;
                    offsets = ReadSizes(ref reader, file, name, "data_offsets", 2);
                    break;
                default:
                    throw Invalid("SafetensorsHeaderInvalid", file, $"tensor '{name}' has an unknown field '{key}'");
            }
            if (duplicate)
                throw Invalid("SafetensorsHeaderInvalid", file, $"tensor '{name}' has two fields '{key}'");
        }
        if (dtypeName is null || shape is null || offsets is not { Length: 2 })
            throw Invalid("SafetensorsHeaderInvalid", file, $"tensor '{name}' lacks one of dtype, shape and data_offsets");
        if (!TensorDtypeExtensions.TryParse(dtypeName, out var dtype))
        {
            throw new AwqException("SafetensorsDtypeUnknown", AwqErrorKind.NotSupported,
                $"'{file}': tensor '{name}' has the element type '{dtypeName}', which the safetensors format does not define.",
                "Convert the checkpoint with a current version of safetensors.");
        }
        if (offsets[0] > offsets[1] || offsets[1] > dataLength)
        {
            throw Invalid("SafetensorsOffsetsInvalid", file,
                $"tensor '{name}' lies at bytes {offsets[0]} to {offsets[1]} of a data area of {dataLength} bytes; the file is cut short or damaged");
        }
        long? length;
        try
        {
            length = dtype.ByteLength(shape);
        }
        catch (OverflowException e)
        {
            throw Invalid("SafetensorsShapeInvalid", file, $"tensor '{name}' of shape [{string.Join(", ", shape)}] is larger than any file", e);
        }
        if (length != offsets[1] - offsets[0])
        {
            throw Invalid("SafetensorsShapeInvalid", file,
                $"tensor '{name}' of type {dtype} and shape [{string.Join(", ", shape)}] does not fill its {offsets[1] - offsets[0]} bytes exactly");
        }
        return new TensorEntry(name, dtype, shape, file, dataStart + offsets[0], offsets[1] - offsets[0]);
    }

    private static long[] ReadSizes(ref Utf8JsonReader reader, string file, string name, string field, int maxCount)
    {
        Expect(ref reader, JsonTokenType.StartArray, file);
        var sizes = new List<long>(4);
        while (Next(ref reader, file) != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var size) || size < 0)
                throw Invalid("SafetensorsShapeInvalid", file, $"{field} of tensor '{name}' holds something that is not a size");
            if (sizes.Count == maxCount)
                throw Invalid("SafetensorsShapeInvalid", file, $"{field} of tensor '{name}' has more than {maxCount} numbers");
            sizes.Add(size);
        }
        return [.. sizes];
    }

    private static void ReadMetadata(ref Utf8JsonReader reader, Dictionary<string, string> metadata, string file)
    {
        Expect(ref reader, JsonTokenType.StartObject, file);
        while (Next(ref reader, file) == JsonTokenType.PropertyName)
        {
            var key = reader.GetString()!;
            Expect(ref reader, JsonTokenType.String, file);
            if (!metadata.TryAdd(key, reader.GetString()!))
                throw Invalid("SafetensorsHeaderInvalid", file, $"the metadata key '{key}' is there twice");
        }
    }

    private static void CheckLayout(Dictionary<string, TensorEntry> tensors, string file, long dataStart, long dataLength)
    {
        var end = dataStart;
        TensorEntry? previous = null;
        foreach (var entry in tensors.Values.OrderBy(t => t.Offset).ThenBy(t => t.ByteLength))
        {
            if (entry.Offset < end)
                throw Invalid("SafetensorsOffsetsInvalid", file, $"tensors '{previous!.Name}' and '{entry.Name}' overlap");
            if (entry.Offset > end)
                throw Invalid("SafetensorsOffsetsInvalid", file, $"{entry.Offset - end} bytes before tensor '{entry.Name}' belong to no tensor");
            end = entry.Offset + entry.ByteLength;
            previous = entry;
        }
        if (end != dataStart + dataLength)
            throw Invalid("SafetensorsOffsetsInvalid", file, $"the last {dataStart + dataLength - end} bytes belong to no tensor");
    }

    private static JsonTokenType Next(ref Utf8JsonReader reader, string file) =>
        reader.Read() ? reader.TokenType : throw Invalid("SafetensorsHeaderInvalid", file, "the header ends too early");

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type, string file)
    {
        if (Next(ref reader, file) != type)
            throw Invalid("SafetensorsHeaderInvalid", file, $"the header has {reader.TokenType} at byte {reader.TokenStartIndex} where {type} belongs");
    }

    internal static AwqException Invalid(string id, string file, string what, Exception? inner = null) =>
        new(id, AwqErrorKind.InvalidData, $"'{file}' is not a valid safetensors file: {what}.",
            "Download or copy the file again and compare its size and hash with the origin's.", inner);
}
