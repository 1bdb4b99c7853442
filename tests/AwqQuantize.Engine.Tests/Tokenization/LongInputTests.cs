using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>Long input takes time in proportion to its length, on any number of threads, with the same ids.</summary>
public sealed class LongInputTests
{
    [Theory]
    [InlineData("a")]
    [InlineData("\n")]
    [InlineData(" ")]
    [InlineData("7")]
    [InlineData("你")]
    [InlineData("😀")]
    [InlineData("ab ")]
    public void OnePieceOfOneLetterIsLinear(string unit)
    {
        foreach (TextTokenizer tokenizer in (TextTokenizer[])[ByteLevel(), Spaced()])
        {
            tokenizer.Encode(Repeat(unit, 1000), addSpecialTokens: false);
            TimeSpan small = Time(tokenizer, Repeat(unit, 20_000));
            TimeSpan large = Time(tokenizer, Repeat(unit, 200_000));

            // Ten times the text; quadratic would be a hundred. The floor keeps timer noise out.
            Assert.True(large < 40 * small + TimeSpan.FromSeconds(1), $"{small} for 20,000 but {large} for 200,000 of '{unit}'");
        }
    }

    [Fact]
    public void TwentyMegabytesTakeSeconds()
    {
        string text = Repeat("Once upon a time, there was a little girl who lived in the woods. ", 300_000);
        TextTokenizer tokenizer = ByteLevel();

        long begin = Stopwatch.GetTimestamp();
        int[] ids = tokenizer.Encode(text, addSpecialTokens: false);

        Assert.True(Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(60));
        Assert.Equal(text, tokenizer.Decode(ids, skipSpecialTokens: false));
    }

    /// <summary>
    /// A long word's merges, by the definition: again and again the best pair, of equal ones the leftmost. The queue that
    /// long pieces use, the scan that short ones use and this loop must agree.
    /// </summary>
    [Fact]
    public void MergesFollowTheDefinition()
    {
        string[] merges = ["a b", "b c", "c a", "ab c", "a a", "aa aa", "bc a", "abc abc", "b b", "aa b", "ca b"];
        string[] vocabulary = ["a", "b", "c", .. merges.Select(merge => merge.Replace(" ", "", StringComparison.Ordinal))];
        string[] tokens = [.. vocabulary.Distinct()];
        var model = new JsonObject
        {
            ["type"] = "BPE",
            ["vocab"] = new JsonObject(tokens.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)id))),
            ["merges"] = new JsonArray([.. merges.Select(merge => (JsonNode)merge)]),
        };
        string json = new JsonObject { ["model"] = model }.ToJsonString();
        var tokenizer = new TextTokenizer(TokenizerJsonReader.Read(Encoding.UTF8.GetBytes(json)));
        var random = new Random(3);
        foreach (int length in (int[])[1, 2, 5, 40, 47, 48, 49, 60, 300])
        {
            for (int round = 0; round < 40; round++)
            {
                string word = string.Concat(Enumerable.Range(0, length).Select(_ => "abc"[random.Next(3)]));
                Assert.Equal(ByDefinition(word, merges), tokenizer.Encode(word, addSpecialTokens: false).Select(id => tokens[id]));
            }
        }
    }

    [Fact]
    public void ThreadsShareATokenizer()
    {
        TextTokenizer tokenizer = ByteLevel();
        string[] texts = [.. Enumerable.Range(0, 400).Select(i => $"Story {i}: the fox no. {i % 17} said “{new string('a', i % 30)}” and ran.")];
        int[][] alone = [.. texts.Select(text => tokenizer.Encode(text, addSpecialTokens: true))];

        Assert.Equal(alone, tokenizer.EncodeAll(texts, addSpecialTokens: true));
    }

    private static List<string> ByDefinition(string word, string[] merges)
    {
        List<string> symbols = [.. word.Select(c => c.ToString())];
        foreach (string _ in Enumerable.Repeat("", word.Length))
        {
            (int rank, int at) = Enumerable.Range(0, Math.Max(symbols.Count - 1, 0))
                .Select(i => (Rank: Array.IndexOf(merges, $"{symbols[i]} {symbols[i + 1]}"), At: i))
                .Where(pair => pair.Rank >= 0).DefaultIfEmpty((-1, -1)).Min();
            if (rank < 0)
            {
                break;
            }

            symbols[at] += symbols[at + 1];
            symbols.RemoveAt(at + 1);
        }

        return symbols;
    }

    private static TextTokenizer ByteLevel() => TextTokenizer.Load(SharedData.Repository("samples/stories-llama"));

    private static TextTokenizer Spaced() => new(TokenizerJsonReader.Read(
        """
        {"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},
         "model":{"type":"BPE","unk_token":"?","fuse_unk":false,"vocab":{"?":0,"a":1,"b":2,"▁":3,"aa":4,"aaaa":5,"ab":6,"▁a":7,"▁▁":8,"你":9,"你你":10,"7":11,"77":12},
         "merges":["a a","a b","aa aa","▁ a","▁ ▁","你 你","7 7"]}}
        """u8));

    private static TimeSpan Time(TextTokenizer tokenizer, string text)
    {
        long begin = Stopwatch.GetTimestamp();
        tokenizer.Encode(text, addSpecialTokens: false);
        return Stopwatch.GetElapsedTime(begin);
    }

    private static string Repeat(string unit, int count) => string.Concat(Enumerable.Repeat(unit, count));
}
