using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Engine.Tests.Architectures;

/// <summary>The descriptions that ship with the module.</summary>
public sealed class CatalogTests
{
    /// <summary>Families that must be there, by the model_type of their config.json.</summary>
    public static readonly string[] Required =
    [
        "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_5_text", "gemma", "gemma2", "gemma3_text", "phi", "phi3",
        "phimoe", "gpt2", "gpt_neo", "gpt_neox", "gptj", "codegen", "gpt_bigcode", "gpt_oss", "opt", "bloom", "falcon", "mpt", "starcoder2", "cohere", "cohere2",
        "stablelm", "persimmon", "olmo", "olmo2", "olmo3", "olmoe", "granite", "granitemoe", "granitemoeshared", "deepseek_v2", "deepseek_v3", "glm", "glm4",
        "glm4_moe", "exaone4", "smollm3", "llama4_text", "ernie4_5", "ernie4_5_moe", "hunyuan_v1_dense", "hunyuan_v1_moe", "nemotron", "helium", "arcee",
        "apertus", "seed_oss", "dots1", "minimax_m2", "ministral3", "solar_open", "afmoe", "lfm2", "dbrx", "jetmoe", "xglm", "baichuan", "internlm2", "internlm3",
        "minicpm", "minicpm3", "exaone", "Yi", "aquila", "kimi_k2", "telechat", "orion", "xverse", "bamba", "granitemoehybrid", "nemotron_h", "falcon_h1",
    ];

    [Fact]
    public void EveryFamilyInScopeHasADescription() => Assert.Empty(Required.Except(Repository.Catalog.ModelTypes));

    [Fact]
    public void NoDescriptionIsLongerThanSixtyLinesAndMostAreBelowTwentyFive()
    {
        var lengths = Directory.GetFiles(Repository.Architectures, "*.json").Where(f => !f.EndsWith("architecture.schema.json", StringComparison.Ordinal))
            .Select(f => File.ReadAllLines(f).Length).ToList();
        Assert.All(lengths, n => Assert.InRange(n, 1, 60));
        Assert.True(lengths.Count(n => n < 25) * 2 > lengths.Count);
    }

    [Fact]
    public void TheEngineKnowsNoModelTypeByName()
    {
        var types = Repository.Catalog.ModelTypes.Select(t => $"\"{t}\"").ToList();
        var source = Path.Combine(Repository.Root, "src", "AwqQuantize.Engine");
        var found = ((string[])["Architectures", "Layers"]).SelectMany(room => Directory.GetFiles(Path.Combine(source, room), "*.cs"))
            .SelectMany(file => types.Where(File.ReadAllText(file).Contains).Select(type => $"{Path.GetFileName(file)}: {type}"));
        Assert.Empty(found);
    }
}
