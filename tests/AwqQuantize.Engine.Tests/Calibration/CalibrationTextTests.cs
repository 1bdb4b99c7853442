using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Tokenization;
using Parquet.Serialization;

namespace AwqQuantize.Engine.Tests.Calibration;

public sealed class CalibrationTextTests : IDisposable
{
    private sealed record Row(string text);

    private static readonly string Sample = SharedData.Repository("samples/stories-llama");

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void JoinsShortDocumentsAndCutsLongOnesWithoutDroppingAny()
    {
        int[][] documents = [[1, 2, 3], [4], [], [5, 6, 7, 8, 9, 10, 11]];
        var rows = TokenRows.From(documents, separator: 0, length: 4, most: 100);
        Assert.Equal(["1 2 3 0", "4 0 5 6", "7 8 9 10"], rows.Rows.Select(r => string.Join(" ", r)));
        Assert.Equal(13, rows.Available);
        Assert.Equal(["1 2 3 0", "4 0 5 6"], TokenRows.From(documents, 0, 4, 2).Rows.Select(r => string.Join(" ", r)));
    }

    [Fact]
    public void EverySeedTakesOtherRows()
    {
        int[][] documents = [[.. Enumerable.Range(0, 24)]];
        Assert.Equal([0, 12], TokenRows.From(documents, null, 4, 2).Rows.Select(r => r[0]));
        Assert.Equal([4, 16], TokenRows.From(documents, null, 4, 2, seed: 1).Rows.Select(r => r[0]));
        Assert.Equal([20, 8], TokenRows.From(documents, null, 4, 2, seed: 5).Rows.Select(r => r[0]));
    }

    [Fact]
    public void ShortDataGivesOneShortRowAndNoDataAnError()
    {
        Assert.Equal([3, 4, 5], TokenRows.From([[3, 4, 5]], null, 2048, 128).Rows.Single());
        Assert.Equal("CalibrationDataEmpty", Assert.Throws<AwqException>(() => TokenRows.From([[], [7]], 0, 8, 8)).Id);
    }

    [Fact]
    public async Task AllFormsOfTheSameTextGiveTheSameTokens()
    {
        const string First = "Once upon a time there was a \"cat\".\nIt slept.", Second = "Then it woke up.";
        var tokenizer = TextTokenizer.Load(Sample);
        var expected = TokenRows.From([tokenizer.Encode(First, false), tokenizer.Encode(Second, false)], tokenizer.BosId ?? tokenizer.EosId, 8, 99).Fingerprint();
        var json = System.Text.Json.JsonSerializer.Serialize(First);
        var parquet = temporary.File("d.parquet");
        await ParquetSerializer.SerializeAsync([new Row(First), new Row(Second)], parquet, cancellationToken: TestContext.Current.CancellationToken);
        string[] files =
        [
            temporary.Write("a.txt", $"{First}\n\n{CalibrationText.DocumentMark}\n\n{Second}\n"),
            temporary.Write("b.jsonl", $"{{\"text\": {json}}}\n\n\"{Second}\"\n"),
            temporary.Write("c.json", $"[{json}, {{\"text\": \"{Second}\", \"source\": 1}}]"),
            parquet,
            temporary.Write("e.jsonl", $"{{\"input_ids\": [{string.Join(",", tokenizer.Encode(First, false))}]}}\n\"{Second}\""),
        ];
        foreach (var file in files)
            Assert.Equal(expected, Read(file).Fingerprint());
    }

    [Fact]
    public void MessagesGoThroughTheChatTemplate()
    {
        var model = temporary.File("model");
        Directory.CreateDirectory(model);
        foreach (var file in new[] { "tokenizer.json", "tokenizer_config.json", "config.json" })
            File.Copy(Path.Combine(Sample, file), Path.Combine(model, file));
        var data = temporary.Write("m.jsonl", """{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "a cat"}]}""");
        Assert.Equal("ChatTemplateMissing", Assert.Throws<AwqException>(() => Read(data, model)).Id);
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), "{% for m in messages %}[{{ m.role }}] {{ m['content'] }}\n{% endfor %}");
        Assert.Equal("[user] hello\n[assistant] a cat\n", TextTokenizer.Load(model).Decode([.. Read(data, model, 1000).Rows.Single()], false));
    }

    [Theory]
    [InlineData("x.jsonl", "{\"text\": 3}", "CalibrationDataInvalid")]
    [InlineData("x.jsonl", "{\"text\"", "CalibrationDataInvalid")]
    [InlineData("x.jsonl", "{\"input_ids\": [1, \"a\"]}", "CalibrationDataInvalid")]
    [InlineData("x.jsonl", "{\"input_ids\": [1, 999999]}", "CalibrationDataInvalid")]
    [InlineData("x.jsonl", "{\"input_ids\": [1, -4]}", "CalibrationDataInvalid")]
    [InlineData("x.json", "{}", "CalibrationDataInvalid")]
    [InlineData("x.parquet", "no parquet", "CalibrationDataInvalid")]
    [InlineData("x.txt", "\n", "CalibrationDataEmpty")]
    public void BadDataIsAnErrorThatNamesIt(string name, string content, string id) =>
        Assert.Equal(id, Assert.Throws<AwqException>(() => Read(temporary.Write(name, content))).Id);

    [Fact]
    public void MissingDataIsAnError() => Assert.Equal("CalibrationDataMissing", Assert.Throws<AwqException>(() => Read(temporary.File("none.txt"))).Id);

    [Fact]
    public void TheShippedTextIsLargeVariedAndWithoutRepetition()
    {
        var files = Directory.GetFiles(SharedData.Repository("module/Calibration"), "*.txt");
        Assert.True(files.Sum(f => new FileInfo(f).Length) >= 120_000);
        var lines = files.SelectMany(File.ReadLines).Where(l => l.Length > 40).ToList();
        Assert.Equal(lines.Count, lines.Distinct().Count());
        var letters = string.Concat(files.Select(File.ReadAllText)).EnumerateRunes().Where(System.Text.Rune.IsLetter).Select(r => r.Value).ToHashSet();
        foreach (var letter in "aжλאعहকก的の한")
            Assert.Contains(letter, letters);
    }

    private static TokenRows Read(string file, string? model = null, int length = 8) => CalibrationText.Read([file], model ?? Sample, 1024, length, 99, default);
}
