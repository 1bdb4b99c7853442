using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Tests.House;

/// <summary>Who may know whom inside the engine. A new arrow is a decision: it is added here, or it does not come in.</summary>
public sealed partial class DirectionTests
{
    private static readonly Dictionary<string, string[]> MayKnow = new()
    {
        ["Architectures"] = [],
        // Packing: what a device packs comes back in the words of the format.
        ["Awq"] = ["Architectures", "Calibration", "Compute", "Layers", "Packing"],
        ["Calibration"] = ["Checkpoints", "Compute", "Tokenization"],
        ["Checkpoints"] = [],
        ["Compute"] = [],
        ["Evaluation"] = ["Architectures", "Calibration", "Checkpoints", "Compute", "Layers", "Packing", "Tokenization"],
        ["Layers"] = ["Architectures", "Checkpoints", "Compute"],
        ["Packing"] = [],
        ["Publishing"] = ["Checkpoints"],
        // Reports shows what runs and evaluations return; runs save what reports are made from.
        ["Reports"] = ["Awq", "Checkpoints", "Evaluation", "Runs", "Tuning"],
        ["Runs"] = ["Architectures", "Awq", "Calibration", "Checkpoints", "Compute", "Evaluation", "Layers", "Packing", "Reports", "Tuning"],
        ["Tokenization"] = [],
        // What is tuned is a finished checkpoint, read as evaluations read one.
        ["Tuning"] = ["Architectures", "Calibration", "Checkpoints", "Compute", "Evaluation", "Layers", "Packing"],
    };

    public static TheoryData<string> Rooms => [.. Directory.GetDirectories(Engine).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal)];

    private static string Engine => Path.Combine(Repository.Root, "src", "AwqQuantize.Engine");

    [Theory]
    [MemberData(nameof(Rooms))]
    public void ARoomKnowsOnlyWhatItMay(string room)
    {
        Assert.True(MayKnow.ContainsKey(room), $"the room {room} is new: say whom it may know");
        foreach (var file in Directory.GetFiles(Path.Combine(Engine, room), "*.cs", SearchOption.AllDirectories))
            foreach (var known in Mention().Matches(File.ReadAllText(file)).Select(m => m.Groups[1].Value).Where(MayKnow.ContainsKey).Distinct())
                Assert.True(known == room || MayKnow[room].Contains(known), $"{Path.GetFileName(file)} of {room} knows {known}");
    }

    /// <summary>The arrows are seen at all: without this, a pattern that matches nothing would let everything through.</summary>
    [Theory]
    [InlineData("using AwqQuantize.Engine.Runs;", "Runs")]
    [InlineData("        Compute.NativeHeap.Trim();", "Compute")]
    public void AMentionOfARoomIsSeen(string line, string room) => Assert.Equal(room, Assert.Single(Mention().Matches(line)).Groups[1].Value);

    [Fact]
    public void CmdletsAndConsoleKnowNeitherTorchNorEachOther()
    {
        foreach (var file in Directory.GetFiles(Path.Combine(Repository.Root, "src", "AwqQuantize"), "*.cs", SearchOption.AllDirectories))
            Assert.DoesNotContain("using TorchSharp", File.ReadAllText(file));
        Assert.DoesNotContain("<Reference Include=\"AwqQuantize", File.ReadAllText(Path.Combine(Repository.Root, "src", "AwqQuantize.Console", "AwqQuantize.Console.csproj")));
        foreach (var file in Directory.GetFiles(Path.Combine(Repository.Root, "src", "AwqQuantize.Console"), "*.cs", SearchOption.AllDirectories))
            Assert.DoesNotContain("using AwqQuantize.Engine", File.ReadAllText(file));
    }

    // A using directive, or a name that begins with another room (Compute.RowParallel).
    [GeneratedRegex(@"(?:AwqQuantize\.Engine\.|(?<![\w.])(?=(?:Compute|Checkpoints|Packing|Tokenization|Publishing|Evaluation)\.[A-Z]))([A-Z][A-Za-z]+)")]
    private static partial Regex Mention();
}
