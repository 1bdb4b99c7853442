using Parquet;
using Parquet.Schema;

namespace AwqQuantize.Engine.Calibration;

/// <summary>The column <c>text</c> (or <c>content</c>) of a Parquet file.</summary>
internal static class ParquetDocuments
{
    private static readonly string[] Columns = ["text", "content"];

    private static readonly Type[] Texts = [typeof(string), typeof(ReadOnlyMemory<char>)];

    /// <summary>The texts, in the order of the rows; rows without text are left out.</summary>
    public static IReadOnlyList<string> Read(string file)
    {
        try
        {
            return ReadAsync(file).GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is not AwqException)
        {
            throw new AwqException("CalibrationDataInvalid", AwqErrorKind.InvalidData, $"'{file}' cannot be read as Parquet: {e.Message}", "Check the file, or give text.", e);
        }
    }

    private static async Task<IReadOnlyList<string>> ReadAsync(string file)
    {
        await using var reader = await ParquetReader.CreateAsync(file).ConfigureAwait(false);
        var field = Columns.Select(c => reader.Schema.GetDataFields().FirstOrDefault(f => f.Path.ToString() == c && Texts.Contains(f.ClrType))).FirstOrDefault(f => f is not null)
            ?? throw new AwqException("CalibrationDataInvalid", AwqErrorKind.InvalidData,
                $"'{file}' has no column 'text' or 'content' of strings, but {string.Join(", ", reader.Schema.GetDataFields().Select(f => f.Path))}.", "Give a file with such a column.");
        var texts = new List<string>();
        for (var g = 0; g < reader.RowGroupCount; g++)
        {
            using var group = reader.OpenRowGroupReader(g);
            var values = new string?[group.RowCount];
            await group.ReadAsync(field, values.AsMemory()!).ConfigureAwait(false);
            texts.AddRange(values.Where(v => !string.IsNullOrEmpty(v))!);
        }
        return texts;
    }
}
