using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Calibration;

/// <summary>Turns calibration data into rows of token ids.</summary>
public static class CalibrationText
{
    /// <summary>Stands between the documents of a text file, alone on its line.</summary>
    public const string DocumentMark = "<|document|>";

    private static readonly string[] Kinds = [".txt", ".jsonl", ".json", ".ndjson", ".parquet", ".safetensors"];

    /// <summary>Reads files, encodes them and cuts rows.</summary>
    /// <param name="files">Text, JSON lines, Parquet, or safetensors with a tensor of token ids; folders stand for the files of these kinds in them.</param>
    /// <param name="modelFolder">Whose tokenizer encodes text; not looked at where token ids are given.</param>
    /// <param name="vocabulary">Ids must be below this.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="rows">Most rows.</param>
    /// <param name="seed">See <see cref="TokenRows.From"/>.</param>
    /// <exception cref="AwqException"><c>CalibrationDataMissing</c>, <c>CalibrationDataInvalid</c>, <c>CalibrationDataEmpty</c>, or an error of the tokenizer.</exception>
    public static TokenRows Read(IReadOnlyList<string> files, string modelFolder, int vocabulary, int length, int rows, CancellationToken cancel, int seed = 0)
    {
        var documents = new List<IReadOnlyList<int>>();
        var encoder = new DocumentEncoder(modelFolder);
        foreach (var file in files.SelectMany(Expand))
        {
            cancel.ThrowIfCancellationRequested();
            documents.AddRange(Path.GetExtension(file).ToLowerInvariant() switch
            {
                ".safetensors" => Ids(file),
                ".jsonl" or ".json" or ".ndjson" => JsonLinesDocuments.Read(file, encoder),
                ".parquet" => encoder.Encode(ParquetDocuments.Read(file), cancel),
                _ => encoder.Encode(Documents(file), cancel),
            });
        }
        if (documents.SelectMany(d => d).FirstOrDefault(id => id < 0 || id >= vocabulary, -1) is var wrong and not -1)
            throw new AwqException("CalibrationDataInvalid", AwqErrorKind.InvalidData,
                $"Token id {wrong} is outside of the model's vocabulary of {vocabulary}.",
                "The tokenizer or the token ids do not belong to this model: use the model's own.");
        return TokenRows.From(documents, encoder.Separator, length, rows, seed);
    }

    private static IEnumerable<string> Expand(string path)
    {
        if (Directory.Exists(path))
            return Directory.EnumerateFiles(path).Where(f => Kinds.Contains(Path.GetExtension(f).ToLowerInvariant())).Order(StringComparer.Ordinal);
        if (File.Exists(path))
            return [path];
        throw new AwqException("CalibrationDataMissing", AwqErrorKind.NotFound, $"There is no calibration data at '{path}'.", "Check the path given with -CalibrationData.");
    }

    private static string[] Documents(string file)
    {
        try
        {
            return [.. File.ReadAllText(file).Split($"\n{DocumentMark}\n", StringSplitOptions.RemoveEmptyEntries).Select(d => d.Trim('\n')).Where(d => d.Length > 0)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new AwqException("CalibrationDataUnreadable", AwqErrorKind.PermissionDenied, $"'{file}' cannot be read: {e.Message}", "Check its permissions.", e);
        }
    }

    /// <summary>Each row of a [rows, length] (or [length]) tensor of integers.</summary>
    private static unsafe IEnumerable<IReadOnlyList<int>> Ids(string file)
    {
        using var tensors = SafetensorsFile.Open(file);
        var entry = tensors.Tensors.Values.FirstOrDefault(t => t.Dtype is TensorDtype.I64 or TensorDtype.I32 && t.Shape.Length is 1 or 2)
            ?? throw new AwqException("CalibrationDataInvalid", AwqErrorKind.InvalidData,
                $"'{file}' holds no tensor of token ids (I64 or I32, [rows, length] or [length]).", "Give text, or such a tensor.");
        var width = (int)entry.Shape[^1];
        var rows = new List<IReadOnlyList<int>>();
        var data = tensors.Pointer(entry);
        for (var r = 0L; r < entry.ElementCount / Math.Max(1, width); r++)
        {
            var row = new int[width];
            for (var i = 0; i < width; i++)
                row[i] = entry.Dtype == TensorDtype.I32 ? ((int*)data)[r * width + i] : checked((int)((long*)data)[r * width + i]);
            rows.Add(row);
        }
        return rows;
    }
}
