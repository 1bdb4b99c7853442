namespace AwqQuantize.Tests;

/// <summary>Copies of the sample in a folder of its own, which is deleted at the end.</summary>
internal sealed class ModelCopy : IDisposable
{
    public ModelCopy(params string[] names)
    {
        Root = Directory.CreateTempSubdirectory("awq-test-").FullName;
        foreach (var name in names)
            Add(name);
    }

    public string Root { get; }

    public string this[string name] => Path.Combine(Root, name);

    public string Add(string name, string? source = null)
    {
        var folder = Directory.CreateDirectory(this[name]).FullName;
        foreach (var file in Directory.GetFiles(source ?? StagedModule.Sample))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        return folder;
    }

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
