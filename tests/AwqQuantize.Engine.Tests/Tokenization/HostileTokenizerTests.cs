using System.Text;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>Malformed and malicious tokenizer files end in an error that names the part, and soon.</summary>
public sealed class HostileTokenizerTests
{
    private const string Model = """{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}""";

    [Theory]
    [InlineData("TokenizerInvalid", "")]
    [InlineData("TokenizerInvalid", "[]")]
    [InlineData("TokenizerInvalid", "{")]
    [InlineData("TokenizerInvalid", "{}")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE"}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a  b"]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a"]]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[7]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"a":"x"},"merges":[]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"BPE","vocab":{"\ud800":0},"merges":[]}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"Unigram","vocab":[["a",0.5]],"unk_id":1}}""")]
    [InlineData("TokenizerInvalid", """{"model":{"type":"Unigram","vocab":[["a"]],"unk_id":0}}""")]
    [InlineData("TokenizerPartNotSupported", """{"model":{"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]}}""")]
    [InlineData("TokenizerPartNotSupported", """{"model":{"type":"Neural","vocab":{"a":0}}}""")]
    public void BadModelsAreRefused(string id, string json) => Assert.Equal(id, Refusal(json).Id);

    [Theory]
    [InlineData("Rot13", """{"normalizer":{"type":"Rot13"},"model":MODEL}""")]
    [InlineData("Magic", """{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Magic"}]},"model":MODEL}""")]
    [InlineData("Wrap", """{"post_processor":{"type":"Wrap"},"model":MODEL}""")]
    [InlineData("Guess", """{"decoder":{"type":"Guess"},"model":MODEL}""")]
    [InlineData("'\\K'", """{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a\\Kb"},"behavior":"Isolated","invert":false},"model":MODEL}""")]
    [InlineData("(?<", """{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?<x>a)"},"behavior":"Isolated","invert":false},"model":MODEL}""")]
    [InlineData("'\\1'", """{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a)\\1"},"behavior":"Isolated","invert":false},"model":MODEL}""")]
    [InlineData("Klingon", """{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\p{Klingon}"},"behavior":"Isolated","invert":false},"model":MODEL}""")]
    [InlineData("Sideways", """{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Sideways","invert":false},"model":MODEL}""")]
    [InlineData("first", """{"normalizer":{"type":"Prepend","prepend":"x"},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"},"model":MODEL}""")]
    public void UnknownPartsAreNamed(string name, string json)
    {
        AwqException error = Refusal(json.Replace("MODEL", Model, StringComparison.Ordinal));

        Assert.Equal("TokenizerPartNotSupported", error.Id);
        Assert.Equal(AwqErrorKind.NotSupported, error.Kind);
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
        Assert.Contains("token ids", error.Remedy, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("(")]
    [InlineData("a)")]
    [InlineData("[a")]
    [InlineData("[b-a]")]
    [InlineData("*a")]
    [InlineData("\\p{L")]
    [InlineData("a{3,100001}")]
    [InlineData("\\x{110000}")]
    [InlineData("a\\")]
    public void BadPatternsAreRefused(string pattern)
    {
        Assert.Equal("TokenizerInvalid", Refusal(Splitting(pattern)).Id);
    }

    [Fact]
    public void DeepNestingIsRefused()
    {
        string open = string.Concat(Enumerable.Repeat("""{"type":"Sequence","normalizers":[""", 100_000));

        Assert.Equal("TokenizerInvalid", Refusal("{\"normalizer\":" + open).Id);
        Assert.Equal("TokenizerInvalid", Refusal(Splitting(new string('(', 20_000))).Id);
    }

    [Fact]
    public void HugeStringsAndIdsTakeMemoryByTokenNotByNumber()
    {
        string huge = new('x', 1_000_000);
        const string Rest = """
            "model":{"type":"BPE","vocab":{"a":2147483000,"b":1,"ab":2},"merges":["a b"]}
            """;
        long before = GC.GetAllocatedBytesForCurrentThread();
        TextTokenizer tokenizer = Make($"{{\"added_tokens\":[{{\"id\":9,\"content\":\"{huge}\"}}],{Rest}}}");

        Assert.Equal([2, 3, 1], tokenizer.Encode("ab" + huge + "b", addSpecialTokens: false));
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 500_000_000);
    }

    /// <summary>Backtracking that would take longer than the universe has is stopped by the time limit.</summary>
    [Fact]
    public void CatastrophicPatternsAreStopped()
    {
        TextTokenizer tokenizer = Make(Splitting("(?:(?:a|b|ab)*)*c"));

        AwqException error = Assert.Throws<AwqException>(() => tokenizer.Encode(string.Concat(Enumerable.Repeat("ab", 60)), addSpecialTokens: false));

        Assert.Equal("TokenizerInvalid", error.Id);
        Assert.Contains("too long", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FolderWithoutTokenizerSaysWhatToDo()
    {
        using var folder = new TemporaryFolder();

        AwqException error = Assert.Throws<AwqException>(() => TextTokenizer.Load(folder.Path));

        Assert.Equal("TokenizerMissing", error.Id);
        Assert.Equal(AwqErrorKind.NotFound, error.Kind);
        Assert.Contains("token ids", error.Remedy, StringComparison.Ordinal);
        Assert.Equal("TokenizerMissing", Assert.Throws<AwqException>(() => TextTokenizer.Load(Path.Combine(folder.Path, "nowhere"))).Id);
    }

    private static string Splitting(string pattern) => new JsonObject
    {
        ["pre_tokenizer"] = new JsonObject { ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["behavior"] = "Isolated", ["invert"] = false },
        ["model"] = JsonNode.Parse(Model),
    }.ToJsonString();

    private static TextTokenizer Make(string json) => new(TokenizerJsonReader.Read(Encoding.UTF8.GetBytes(json)));

    private static AwqException Refusal(string json)
    {
        using var folder = new TemporaryFolder();
        folder.Write("tokenizer.json", json);
        return Assert.Throws<AwqException>(() => TextTokenizer.Load(folder.Path));
    }
}
