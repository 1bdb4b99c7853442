namespace AwqQuantize.Tests.Commands;

public sealed class GetAwqArchitectureTests
{
    [Fact]
    public void ListsEveryDescriptionThatNamesAModelType()
    {
        using var session = new ModuleSession();
        var names = session.Run("(Get-AwqArchitecture).Name").ThrowOnError().Output.Select(o => o.ToString()!).ToList();
        Assert.Contains("llama", names);
        Assert.DoesNotContain("base", names);
        Assert.All(names, n => Assert.True(File.Exists(Path.Combine(StagedModule.Root, "Architectures", n + ".json"))));
        Assert.Equal(["llama"], session.Run("(Get-AwqArchitecture LLAMA).Name").ThrowOnError().Output.Select(o => o.ToString()));
        Assert.Equal(names.Count(n => n.StartsWith("qwen", StringComparison.Ordinal)), session.Run("Get-AwqArchitecture qwen*").ThrowOnError().Output.Count(o => o.Properties["Name"].Value.ToString()!.StartsWith("qwen", StringComparison.Ordinal)));
        Assert.Equal("ArchitectureNotSupported", session.Run("Get-AwqArchitecture perceiver").ErrorId);
        Assert.Equal("ArchitecturePathNotFound", session.Run("Get-AwqArchitecture -ArchitecturePath /nowhere").ErrorId);
    }

    [Fact]
    public void AUsersDescriptionJoinsTheList()
    {
        var file = Path.Combine(Directory.CreateTempSubdirectory("awq-test-").FullName, "acme.json");
        try
        {
            File.WriteAllText(file, """{ "extends": "llama", "model_type": ["acme"] }""");
            using var session = new ModuleSession();
            var found = session.Run("Get-AwqArchitecture acme -ArchitecturePath $file", ("file", file)).ThrowOnError();
            Assert.Equal(file, Assert.Single(found.Output).Properties["File"].Value);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
        }
    }
}
