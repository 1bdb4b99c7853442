using System.Management.Automation;

namespace AwqQuantize.Tests.Commands;

public sealed class GetAwqModelTests
{
    private static object? Value(PSObject o, string name) => o.Properties[name].Value;

    [Fact]
    public void DescribesTheSample()
    {
        using var session = new ModuleSession();
        // The sample itself may have been quantised where it is: README begins with that.
        using var copy = new ModelCopy("stories-llama");
        var model = Assert.Single(session.Run("Get-AwqModel $path", ("path", copy["stories-llama"])).ThrowOnError().Output);
        Assert.Equal("stories-llama", Value(model, "Name"));
        Assert.Equal("llama", Value(model, "Architecture"));
        // hidden 128, intermediate 384, 4 layers, vocabulary 1024: counted by hand from the shapes in config.json.
        Assert.Equal(918656L, Value(model, "Parameters"));
        Assert.Equal(2 * 918656L, Value(model, "Size"));
        Assert.Equal("BF16", Value(model, "Dtype"));
        Assert.True((bool)Value(model, "IsSupported")!, Value(model, "Reason")?.ToString());
        Assert.Null(Value(model, "Quantization"));
        Assert.Equal("llama", Value(model, "Family"));
        // 4 layers of q, k, v, o and the MLP; all else stays 2 bytes. A group of 128 takes 64 + 2 + 0.5 bytes.
        var linears = 4L * (2 * 128 * 128 + 2 * 128 * KeyValueWidth() + 3 * 128 * 384);
        Assert.Equal(2 * (918656 - linears) + linears / 128 * 133 / 2, Value(model, "EstimatedSize"));
        Assert.InRange((long)Value(model, "EstimatedMemory")!, 100L << 20, 4L << 30);
        // 128 x 2048 tokens through 0.8 million weights and back: somewhere between a second and an hour on any machine.
        Assert.InRange(((TimeSpan)Value(model, "EstimatedTime")!).TotalSeconds, 1, 3600);
        Assert.Equal("Ready", Value(model, "Status")!.ToString());
    }

    private static long KeyValueWidth()
    {
        var config = System.Text.Json.JsonDocument.Parse(File.ReadAllText(Path.Combine(StagedModule.Sample, "config.json"))).RootElement;
        return 128L * config.GetProperty("num_key_value_heads").GetInt32() / config.GetProperty("num_attention_heads").GetInt32();
    }

    [Fact]
    public void FindsTheModelsOfAFolderAndWithRecurseThoseBelow()
    {
        using var copy = new ModelCopy("b", "a", "deep/er");
        Directory.CreateDirectory(copy["empty"]);
        Directory.CreateDirectory(copy["x.awq-run"]);
        copy.Add("x.awq-run/part");
        using var session = new ModuleSession();
        var flat = session.Run("(Get-AwqModel $root).Name", ("root", copy.Root)).ThrowOnError().Output.Select(o => o.ToString());
        Assert.Equal(["a", "b"], flat);
        var deep = session.Run("(Get-AwqModel $root -Recurse).Name", ("root", copy.Root)).ThrowOnError().Output.Select(o => o.ToString());
        Assert.Equal(["a", "b", "er"], deep);
    }

    [Fact]
    public void ReadsTheHuggingFaceCacheWithItsLinks()
    {
        using var copy = new ModelCopy("blobs");
        var cached = copy["models--acme--stories-llama"];
        foreach (var (revision, isMain) in (ReadOnlySpan<(string, bool)>)[("0123", true), ("ffff", false)])
        {
            var snapshot = Directory.CreateDirectory(Path.Combine(cached, "snapshots", revision)).FullName;
            foreach (var file in Directory.GetFiles(copy["blobs"]))
                File.CreateSymbolicLink(Path.Combine(snapshot, Path.GetFileName(file)), file);
            if (isMain)
            {
                Directory.CreateDirectory(Path.Combine(cached, "refs"));
                File.WriteAllText(Path.Combine(cached, "refs", "main"), revision + "\n");
            }
        }
        using var session = new ModuleSession();
        var found = session.Run("Get-AwqModel $root", ("root", copy.Root)).ThrowOnError().Output;
        var model = found.Single(m => (string)Value(m, "Name")! == "acme/stories-llama");
        Assert.EndsWith("0123", (string)Value(model, "Path")!);
        Assert.True((bool)Value(model, "IsSupported")!);
        Assert.Equal(2, found.Count);
    }

    [Fact]
    public void LinksInCirclesEnd()
    {
        using var copy = new ModelCopy("m");
        Directory.CreateSymbolicLink(Path.Combine(copy["m"], "loop"), copy.Root);
        using var session = new ModuleSession();
        Assert.Single(session.Run("Get-AwqModel $root -Recurse", ("root", copy.Root)).ThrowOnError().Output);
    }

    [Theory]
    [InlineData("gguf", "CheckpointIsGguf")]
    [InlineData("pickle", "CheckpointIsPickle")]
    [InlineData("truncated", null)]
    [InlineData("quantized", "ModelAlreadyQuantized")]
    [InlineData("unknown", "ArchitectureNotSupported")]
    public void SaysWhyAModelIsNotSupported(string defect, string? id)
    {
        using var copy = new ModelCopy("m");
        var weights = Path.Combine(copy["m"], "model.safetensors");
        var config = Path.Combine(copy["m"], "config.json");
        switch (defect)
        {
            case "gguf":
                File.Move(weights, Path.Combine(copy["m"], "model.gguf"));
                break;
            case "pickle":
                File.Move(weights, Path.Combine(copy["m"], "pytorch_model.bin"));
                break;
            case "truncated":
                using (var file = File.OpenWrite(weights))
                    file.SetLength(file.Length / 2);
                break;
            case "quantized":
                File.WriteAllText(config, File.ReadAllText(config).TrimEnd().TrimEnd('}') + ", \"quantization_config\": {\"quant_method\": \"gptq\"}}");
                break;
            case "unknown":
                File.WriteAllText(config, """{"model_type": "perceiver_of_things"}""");
                break;
        }
        using var session = new ModuleSession();
        var model = Assert.Single(session.Run("Get-AwqModel $path", ("path", copy["m"])).ThrowOnError().Output);
        Assert.False((bool)Value(model, "IsSupported")!);
        Assert.NotEmpty((string)Value(model, "Reason")!);
        if (id is not null)
            Assert.Equal(id, Value(model, "ErrorId"));
        Assert.Equal(defect == "quantized" ? "gptq" : null, Value(model, "Quantization"));
    }

    [Fact]
    public void AMissingPathIsAnErrorAndTheOthersGoOn()
    {
        using var session = new ModuleSession();
        var result = session.Run("Get-AwqModel /nowhere/at/all, $sample", ("sample", StagedModule.Sample));
        Assert.Single(result.Output);
        var error = Assert.Single(result.Errors);
        Assert.Equal("ModelFolderMissing,AwqQuantize.Commands.GetAwqModelCommand", error.FullyQualifiedErrorId);
        Assert.Equal(ErrorCategory.ObjectNotFound, error.CategoryInfo.Category);
        Assert.Equal("/nowhere/at/all", error.TargetObject);
        Assert.NotEmpty(error.ErrorDetails.RecommendedAction);
    }

    [Fact]
    public void WildcardsLiteralPathsAndOtherProviders()
    {
        using var copy = new ModelCopy("llama-1", "llama-2", "phi", "odd[4bit]");
        File.WriteAllText(copy["llama-notes.txt"], "a file that the wildcard matches too");
        using var session = new ModuleSession();
        Assert.Equal(2, session.Run("Get-AwqModel $root/llama-*", ("root", copy.Root)).ThrowOnError().Output.Count);
        Assert.Single(session.Run("Get-AwqModel $path", ("path", copy["odd[4bit]"])).ThrowOnError().Output);
        Assert.Single(session.Run("Get-AwqModel -LiteralPath $path", ("path", copy["odd[4bit]"])).ThrowOnError().Output);
        Assert.Equal("PathNotFound", session.Run("Get-AwqModel $root/none*", ("root", copy.Root)).ErrorId);
        Assert.Equal("PathNotInFileSystem", session.Run("Get-AwqModel Env:PATH").ErrorId);
    }

    [Fact]
    public void RelativePathsFollowTheLocationOfTheRunspace()
    {
        using var session = new ModuleSession();
        session.Run("$null = $ExecutionContext.SessionState.Path.SetLocation($where)", ("where", Path.GetDirectoryName(StagedModule.Sample))).ThrowOnError();
        var model = Assert.Single(session.Run("Get-AwqModel stories-llama").ThrowOnError().Output);
        Assert.Equal(StagedModule.Sample, Value(model, "Path"));
        Assert.Single(session.Run("Get-AwqModel").ThrowOnError().Output);
    }

    [Fact]
    public void BindsByValueAndByPropertyName()
    {
        using var session = new ModuleSession();
        Assert.Single(session.RunWithInput("$input | Get-AwqModel", [StagedModule.Sample]).ThrowOnError().Output);
        var twice = session.Run("Get-AwqModel $sample | Get-AwqModel", ("sample", StagedModule.Sample)).ThrowOnError();
        Assert.Equal(StagedModule.Sample, Value(Assert.Single(twice.Output), "Path"));
        Assert.Single(session.Run("[pscustomobject]@{ PSPath = $sample } | Get-AwqModel", ("sample", StagedModule.Sample)).ThrowOnError().Output);
    }
}
