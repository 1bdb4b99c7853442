using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tokenization;
using Google.Protobuf;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>Folders without tokenizer.json: the same vocabulary in another format gives the same ids.</summary>
public sealed class OtherFormatTests
{
    private static readonly string[] Texts =
        ["Once upon a time", " there was a girl named Lily.", "It's 12 o'clock!\n\nThe end  ", "naïve café", "你好 😀", "", "a", "  ", "\u212B e\u0301"];

    [Fact]
    public void VocabularyAndMergesFiles()
    {
        using var folder = new TemporaryFolder();
        JsonNode model = StoriesModel();
        folder.Write("vocab.json", model["vocab"]!.ToJsonString());
        folder.Write("merges.txt", "#version: 0.2\n" + string.Join('\n', model["merges"]!.AsArray().Select(merge => $"{merge![0]} {merge[1]}")) + "\n");
        folder.Write("tokenizer_config.json", """{"tokenizer_class":"GPT2Tokenizer","bos_token":"<|endoftext|>","eos_token":"<|endoftext|>"}""");
        TextTokenizer expected = TextTokenizer.Load(SharedData.Repository("samples/stories-llama"));

        TextTokenizer actual = TextTokenizer.Load(folder.Path);

        Assert.All(Texts, text => Assert.Equal(expected.Encode(text, false), actual.Encode(text, false)));
        Assert.Equal(expected.EosId, actual.EosId);
        Assert.Equal(expected.VocabularySize, actual.VocabularySize);
    }

    /// <summary>tiktoken's rule, by its definition, on ranks that are the stories tokenizer's vocabulary.</summary>
    [Fact]
    public void TiktokenFile()
    {
        using var folder = new TemporaryFolder();
        var ranks = StoriesModel()["vocab"]!.AsObject().Where(token => token.Key != "<|endoftext|>")
            .ToDictionary(token => new string([.. token.Key.Select(c => (char)Bytes(c))]), token => token.Value!.GetValue<int>() - 1);
        folder.Write("qwen.tiktoken", string.Join('\n', ranks.Select(token => $"{Convert.ToBase64String([.. token.Key.Select(c => (byte)c)])} {token.Value}")) + "\n");
        folder.Write("tokenizer_config.json", """{"tokenizer_class":"QWenTokenizer"}""");

        TextTokenizer tokenizer = TextTokenizer.Load(folder.Path);

        foreach (string word in (string[])["Once", " upon", " there", "naïve", "你好", " little", "unbelievable"])
        {
            Assert.Equal(RankMerge(word, ranks), tokenizer.Encode(word, false));
        }

        Assert.Equal(ranks.Count + 1, tokenizer.Encode("<|im_start|>", false).Single());
        Assert.Equal("Once upon a time", tokenizer.Decode(tokenizer.Encode("Once upon a time", false), false));
    }

    [Fact]
    public void SentencePieceUnigram()
    {
        using var folder = new TemporaryFolder();
        JsonObject unigram = Fixture("unigram");
        var pieces = unigram["vocab"]!.AsArray().Select((piece, id) => (piece![0]!.GetValue<string>(), (float)piece[1]!.GetValue<double>(), id == 0 ? 2 : id < 3 ? 3 : 1));
        folder.Write("tokenizer.model", ModelProto(pieces, kind: 1, removeExtraSpace: true));
        folder.Write("tokenizer_config.json", """{"tokenizer_class":"T5Tokenizer","eos_token":"</s>"}""");
        var json = new JsonObject
        {
            ["normalizer"] = JsonNode.Parse("""{"type":"Sequence","normalizers":[{"type":"Strip","strip_left":false,"strip_right":true},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"▁"}]}"""),
            ["pre_tokenizer"] = JsonNode.Parse("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"""),
            ["model"] = unigram,
        };
        var expected = new TextTokenizer(TokenizerJsonReader.Read(Encoding.UTF8.GetBytes(json.ToJsonString())));

        TextTokenizer actual = TextTokenizer.Load(folder.Path);

        Assert.All(Texts, text => Assert.Equal(expected.Encode(text, false), actual.Encode(text, false)));
        Assert.Equal([.. expected.Encode("the", false), 2], actual.Encode("the", true));
    }

    /// <summary>SentencePiece's rule by its definition: the neighbours that join to the best scored piece, leftmost first.</summary>
    [Theory]
    [InlineData("""{"tokenizer_class":"LlamaTokenizer","bos_token":"<s>"}""", "▁")]
    [InlineData("""{"tokenizer_class":"LlamaTokenizer","legacy":false,"add_bos_token":true,"bos_token":"<s>"}""", "▁")]
    [InlineData("""{"tokenizer_class":"LlamaTokenizer","add_prefix_space":false,"bos_token":"<s>"}""", "")]
    public void SentencePieceBpe(string config, string prefix)
    {
        using var folder = new TemporaryFolder();
        string[] joined = ["th", "the", "▁the", "▁a", ";;", ";;;", "''", "in", "ing", "er", "her", "ther", "▁in"];
        (string Text, float Score, int Type)[] pieces =
        [
            ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), .. Enumerable.Range(0, 256).Select(b => ($"<0x{b:X2}>", 0f, 6)),
            .. joined.Select((text, i) => (text, -(float)i, 1)), .. "▁abcdefghijklmnopqrst;'".Select((c, i) => (c.ToString(), -100f - i, 1)),
        ];
        folder.Write("tokenizer.model", ModelProto(pieces, kind: 2, removeExtraSpace: false));
        folder.Write("tokenizer_config.json", config);
        TextTokenizer tokenizer = TextTokenizer.Load(folder.Path);

        foreach (string text in (string[])["the other thing", ";;;;;;;", "''''' her", "in there", "é"])
        {
            var symbols = (prefix + text.Replace(' ', '▁')).Select(c => c.ToString()).ToList();
            while (Enumerable.Range(0, Math.Max(0, symbols.Count - 1)).Select(i => (Rank: Array.IndexOf(joined, symbols[i] + symbols[i + 1]), At: i))
                .Where(pair => pair.Rank >= 0).DefaultIfEmpty((-1, -1)).Min() is (>= 0, int at))
            {
                symbols[at] += symbols[at + 1];
                symbols.RemoveAt(at + 1);
            }

            int[] expected = [.. symbols.SelectMany(symbol => Array.FindIndex(pieces, piece => piece.Text == symbol) is >= 0 and int id
                ? [id] : Encoding.UTF8.GetBytes(symbol).Select(value => 3 + value))];
            Assert.Equal(expected, tokenizer.Encode(text, false));
            Assert.Equal([1, .. expected], tokenizer.Encode(text, true));
            Assert.Equal(text, tokenizer.Decode(expected, true));
        }
    }

    [Fact]
    public void BrokenModelsAreRefused()
    {
        using var folder = new TemporaryFolder();
        folder.Write("tokenizer.model", [0x0A, 0xFF, 0xFF, 0xFF, 0x7F, 1, 2, 3]);

        Assert.Equal("TokenizerInvalid", Assert.Throws<AwqException>(() => TextTokenizer.Load(folder.Path)).Id);

        folder.Write("tokenizer.model", "SGVsbG8= 0\n");
        folder.Write("tokenizer_config.json", """{"tokenizer_class":"MysteryTokenizer"}""");
        AwqException error = Assert.Throws<AwqException>(() => TextTokenizer.Load(folder.Path));
        Assert.Equal("TokenizerPartNotSupported", error.Id);
        Assert.Contains("MysteryTokenizer", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"add_bos_token":true,"bos_token":"<|endoftext|>"}""", 1, 0)]
    [InlineData("""{"add_bos_token":true,"add_eos_token":true,"bos_token":"<|endoftext|>","eos_token":{"content":"<|endoftext|>"}}""", 1, 1)]
    [InlineData("""{"add_bos_token":false,"bos_token":"<|endoftext|>"}""", 0, 0)]
    [InlineData("""{"bos_token":"<|endoftext|>"}""", 0, 0)]
    [InlineData("""{"tokenizer_class":"LlamaTokenizerFast","bos_token":"<|endoftext|>"}""", 1, 0)]
    public void TransformersReplacesTheTemplate(string config, int before, int after)
    {
        using var folder = new TemporaryFolder();
        File.Copy(SharedData.Repository("samples/stories-llama/tokenizer.json"), folder.File("tokenizer.json"));
        folder.Write("tokenizer_config.json", config);
        TextTokenizer tokenizer = TextTokenizer.Load(folder.Path);
        int[] plain = tokenizer.Encode("Once upon", false);

        Assert.Equal([.. Enumerable.Repeat(0, before), .. plain, .. Enumerable.Repeat(0, after)], tokenizer.Encode("Once upon", true));
        Assert.Equal(0, tokenizer.BosId);
        Assert.Equal(plain, TextTokenizer.Load(folder.Path, asTransformers: false).Encode("Once upon", true));
    }

    [Fact]
    public void TransformersAddsTokensThatOnlyTheConfigDeclares()
    {
        using var folder = new TemporaryFolder();
        File.Copy(SharedData.Repository("samples/stories-llama/tokenizer.json"), folder.File("tokenizer.json"));
        folder.Write("tokenizer_config.json", """{"added_tokens_decoder":{"1025":{"content":"<|b|>","special":true,"normalized":false},"1024":{"content":"<|a|>","special":true,"normalized":false}},"additional_special_tokens":["<|c|>"]}""");

        TextTokenizer tokenizer = TextTokenizer.Load(folder.Path);

        Assert.Equal([1024, 1025, 1026], tokenizer.Encode("<|a|><|b|><|c|>", false));
        Assert.Equal(1027, tokenizer.VocabularySize);
        Assert.Equal("", tokenizer.Decode([1024, 1025, 1026], skipSpecialTokens: true));
        Assert.True(TextTokenizer.Load(folder.Path, asTransformers: false).Encode("<|a|>", false).Length > 1);
    }

    private static JsonNode StoriesModel() =>
        JsonNode.Parse(File.ReadAllBytes(SharedData.Repository("samples/stories-llama/tokenizer.json")))!["model"]!;

    private static JsonObject Fixture(string name) =>
        JsonNode.Parse(File.ReadAllBytes(SharedData.Repository("tests/data/tokenizers/fixtures/models.json")))![name]!.DeepClone().AsObject();

    // GPT-2's alphabet, written down a second time.
    private static int Bytes(char c)
    {
        int[] printable = [.. Enumerable.Range('!', '~' - '!' + 1), .. Enumerable.Range(0xA1, 12), .. Enumerable.Range(0xAE, 82)];
        return printable.Contains(c) ? c : Enumerable.Range(0, 256).Except(printable).ElementAt(c - 256);
    }

    private static IEnumerable<int> RankMerge(string word, Dictionary<string, int> ranks)
    {
        List<string> parts = [.. Encoding.UTF8.GetBytes(word).Select(value => ((char)value).ToString())];
        string whole = string.Concat(parts);
        while (!ranks.ContainsKey(whole) || parts.Count > 1)
        {
            if (ranks.ContainsKey(whole))
            {
                return [ranks[whole]];
            }

            (int rank, int at) = Enumerable.Range(0, parts.Count - 1).Select(i => (ranks.GetValueOrDefault(parts[i] + parts[i + 1], int.MaxValue), i)).DefaultIfEmpty((int.MaxValue, 0)).Min();
            if (rank == int.MaxValue)
            {
                break;
            }

            parts[at] += parts[at + 1];
            parts.RemoveAt(at + 1);
        }

        return parts.Select(part => ranks[part]);
    }

    private static byte[] ModelProto(IEnumerable<(string Text, float Score, int Type)> pieces, int kind, bool removeExtraSpace)
    {
        using var stream = new MemoryStream();
        var output = new CodedOutputStream(stream);
        foreach ((string text, float score, int type) in pieces)
        {
            WriteMessage(output, 1, piece =>
            {
                piece.WriteTag(1, WireFormat.WireType.LengthDelimited);
                piece.WriteString(text);
                piece.WriteTag(2, WireFormat.WireType.Fixed32);
                piece.WriteFloat(score);
                piece.WriteTag(3, WireFormat.WireType.Varint);
                piece.WriteEnum(type);
            });
        }

        WriteMessage(output, 2, trainer =>
        {
            trainer.WriteTag(3, WireFormat.WireType.Varint);
            trainer.WriteEnum(kind);
            trainer.WriteTag(35, WireFormat.WireType.Varint);
            trainer.WriteBool(kind == 2);
        });
        WriteMessage(output, 3, normalizer =>
        {
            normalizer.WriteTag(4, WireFormat.WireType.Varint);
            normalizer.WriteBool(removeExtraSpace);
        });
        output.Flush();
        return stream.ToArray();
    }

    private static void WriteMessage(CodedOutputStream output, int field, Action<CodedOutputStream> write)
    {
        using var stream = new MemoryStream();
        var inner = new CodedOutputStream(stream);
        write(inner);
        inner.Flush();
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(stream.ToArray()));
    }
}
