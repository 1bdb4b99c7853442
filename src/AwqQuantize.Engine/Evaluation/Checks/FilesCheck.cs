using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>The files that make a checkpoint, and none that do not belong to it.</summary>
internal sealed class FilesCheck : OutputCheck
{
    private static readonly string[] OtherWeights = [".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx"];
    private static readonly string[] Leftovers = [".tmp", ".part", ".partial", ".incomplete", ".lock"];

    public override string Name => "Files";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (!File.Exists(folder.File(ModelFolder.ConfigFile)))
            yield return Failed(ModelFolder.ConfigFile, "The file is missing.");
        var single = File.Exists(folder.File(ModelFolder.SingleFile));
        var index = File.Exists(folder.File(ModelFolder.IndexFile));
        if (!single && !index)
            yield return Failed(ModelFolder.SingleFile, $"There is neither {ModelFolder.SingleFile} nor {ModelFolder.IndexFile}.");
        if (single && index)
            yield return Failed(ModelFolder.IndexFile, $"There is also {ModelFolder.SingleFile}: readers disagree about which of the two counts.");
        foreach (var path in Directory.EnumerateFiles(folder.Path).Order(StringComparer.Ordinal))
        {
            var name = Path.GetFileName(path);
            var extension = Path.GetExtension(name).ToLowerInvariant();
            if (new FileInfo(path).Length == 0)
                yield return Failed(name, "The file is empty.");
            else if (Leftovers.Contains(extension))
                yield return Warning(name, "Left behind by a program that did not end; it is not part of a checkpoint.");
            else if (OtherWeights.Contains(extension))
                yield return Warning(name, "Weights in another format: some readers take them in place of the quantised ones.");
            else if (extension == ".py")
                yield return Warning(name, "Program code does not belong into a checkpoint.");
        }
    }

    protected override string Praise(OutputFolder folder) =>
        $"config.json and {folder.Files.Count} {(folder.Files.Count == 1 ? "file" : "files")} of weights, {folder.Files.Values.Sum(f => new FileInfo(f.Path).Length) / 1e6:F1} MB.";
}
