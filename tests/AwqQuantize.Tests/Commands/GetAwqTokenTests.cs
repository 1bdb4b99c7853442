using System.Text.Json;

namespace AwqQuantize.Tests.Commands;

public sealed class GetAwqTokenTests
{
    [Fact]
    public void AFileAndThePipelineGiveTheSameIds()
    {
        string[] texts = ["Once upon a time", "", "Zürich – 東京 🙂\n"];
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, JsonSerializer.Serialize(texts));
            using var session = new ModuleSession();
            var fromFile = session.Run("Get-AwqToken $sample -InputFile $file", ("sample", StagedModule.Sample), ("file", file)).ThrowOnError();
            var fromPipeline = session.Run("$texts | Get-AwqToken $sample", ("sample", StagedModule.Sample), ("texts", texts)).ThrowOnError();
            var ids = JsonSerializer.Deserialize<int[][]>((string)Assert.Single(fromFile.Output).BaseObject)!;
            Assert.Equal(3, ids.Length);
            Assert.Empty(ids[1]);
            Assert.NotEmpty(ids[2]);
            Assert.Equal(fromFile.Output[0].BaseObject, Assert.Single(fromPipeline.Output).BaseObject);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void ErrorsNameTheFileAndTheFolder()
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "{\"not\": \"a list\"}");
            using var session = new ModuleSession();
            Assert.Equal("InputFileInvalid", session.Run("Get-AwqToken $sample -InputFile $file", ("sample", StagedModule.Sample), ("file", file)).ErrorId);
            Assert.Equal("PathNotFound", session.Run("Get-AwqToken $sample -InputFile /nowhere.json", ("sample", StagedModule.Sample)).ErrorId);
            Assert.Equal("TokenizerMissing", session.Run("Get-AwqToken $empty x", ("empty", StagedModule.Natives)).ErrorId);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
