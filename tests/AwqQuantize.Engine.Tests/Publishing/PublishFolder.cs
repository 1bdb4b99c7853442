namespace AwqQuantize.Engine.Tests.Publishing;

/// <summary>A small folder with the kinds of files that a checkpoint has.</summary>
internal static class PublishFolder
{
    public static Dictionary<string, byte[]> Write(TemporaryFolder folder)
    {
        var random = new Random(42);
        byte[] Bytes(int length)
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            return bytes;
        }
        var files = new Dictionary<string, byte[]>
        {
            ["config.json"] = """{"model_type":"llama","quantization_config":{"quant_method":"awq","bits":4,"group_size":128}}"""u8.ToArray(),
            ["model-00001-of-00002.safetensors"] = Bytes(300_001),
            ["model-00002-of-00002.safetensors"] = Bytes(50_000),
            ["tokenizer.json"] = Bytes(9_000),
            ["README.md"] = "# ein Modell ä\n"u8.ToArray(),
            ["additional_chat_templates/tools.jinja"] = "{{ tools }}"u8.ToArray(),
            ["LICENSE"] = "licence"u8.ToArray(),
        };
        foreach (var (name, bytes) in files)
            folder.Write("out/" + name, bytes);
        // Not part of the checkpoint.
        folder.Write("out/.hidden", "x");
        folder.Write("out/model.safetensors.tmp", "x");
        folder.Write("out/.cache/x", "x");
        return files;
    }
}

/// <summary>Progress that is told at once, on the thread that reports it.</summary>
internal sealed class Told<T>(Action<T> action) : IProgress<T>
{
    public void Report(T value) => action(value);
}
