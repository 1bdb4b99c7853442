using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests.Checkpoints;

public sealed class CarriedFilesTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("tokenizer.json", true)]
    [InlineData("tokenizer.model", true)]
    [InlineData("tokenizer_config.json", true)]
    [InlineData("special_tokens_map.json", true)]
    [InlineData("added_tokens.json", true)]
    [InlineData("vocab.json", true)]
    [InlineData("merges.txt", true)]
    [InlineData("qwen.tiktoken", true)]
    [InlineData("chat_template.jinja", true)]
    [InlineData("chat_template.json", true)]
    [InlineData("generation_config.json", true)]
    [InlineData("LICENSE", true)]
    [InlineData("LICENSE.md", true)]
    [InlineData("License.txt", true)]
    [InlineData("NOTICE", true)]
    [InlineData("USE_POLICY.md", true)]
    [InlineData("README.md", true)]
    [InlineData("config.json", false)]
    [InlineData("model.safetensors", false)]
    [InlineData("model.safetensors.index.json", false)]
    [InlineData("pytorch_model.bin.index.json", false)]
    [InlineData("pytorch_model.bin", false)]
    [InlineData("consolidated.00.pth", false)]
    [InlineData("model.gguf", false)]
    [InlineData("modeling_llama.py", false)]
    [InlineData("quantize_config.json", false)]
    [InlineData("trainer_state.json", false)]
    [InlineData(".gitattributes", false)]
    [InlineData("params.json", false)]
    public void WhatBelongsToACheckpointIsCarried(string name, bool expected) => Assert.Equal(expected, CarriedFiles.IsCarried(name));

    [Fact]
    public void FilesAreCopiedWithoutFoldersOfOtherFormats()
    {
        folder.Write("in/tokenizer.json", "{}");
        folder.Write("in/original/params.json", "{}");
        folder.Write("in/original/tokenizer.model", "x");
        folder.Write("in/additional_chat_templates/tools.jinja", "t");
        folder.Write("blob", "licence");
        File.CreateSymbolicLink(folder.File("in/LICENSE"), folder.File("blob"));
        Directory.CreateDirectory(folder.File("out"));
        var copied = CarriedFiles.Copy(folder.File("in"), folder.File("out"));
        Assert.Equal(["LICENSE", "additional_chat_templates/tools.jinja", "tokenizer.json"], copied);
        Assert.Equal("licence", File.ReadAllText(folder.File("out/LICENSE")));
        Assert.Null(new FileInfo(folder.File("out/LICENSE")).LinkTarget);
        Assert.True(File.Exists(folder.File("out/additional_chat_templates/tools.jinja")));
        Assert.False(Directory.Exists(folder.File("out/original")));
    }

    [Theory]
    [InlineData("""{"temperature":0.6,"top_p":0.9}""", true)]
    [InlineData("""{"do_sample":false,"top_k":20}""", true)]
    [InlineData("""{"do_sample":false,"min_p":0.05}""", true)]
    [InlineData("""{"do_sample":true,"top_p":0.9}""", true)]
    [InlineData("""{"do_sample":false,"temperature":1.0,"top_k":50}""", false)]
    [InlineData("""{"bos_token_id":1}""", null)]
    public void GenerationSettingsAreMadeConsistent(string text, bool? sample)
    {
        folder.Write("in/generation_config.json", text);
        Directory.CreateDirectory(folder.File("out"));
        CarriedFiles.Copy(folder.File("in"), folder.File("out"));
        Assert.Equal(sample, PythonJson.ReadObject(folder.File("out/generation_config.json"))["do_sample"]?.GetValue<bool>());
        Assert.Equal(text, File.ReadAllText(folder.File("in/generation_config.json")));
    }
}
