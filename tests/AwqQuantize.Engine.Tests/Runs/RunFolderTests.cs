using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

/// <summary>After which layer a run goes on, given which hidden states it has left behind.</summary>
public sealed class RunFolderTests : IDisposable
{
    private const int Layers = 6;

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData("", 0)]
    [InlineData("s", 1)]
    [InlineData("sss", 3)]
    [InlineData("ns", 2)]
    [InlineData("n", 0)]
    [InlineData("nnn", 0)]
    [InlineData("snn", 1)]
    [InlineData("snsnn", 3)]
    [InlineData("snnnnn", 6)] // nothing is left that would need them
    public void ItGoesOnWhereHiddenStatesWereSaved(string commits, int expected)
    {
        using (var run = Open())
            for (var layer = 0; layer < commits.Length; layer++)
                run.Commit(layer, Outcome(layer), commits[layer] == 's' ? Save(layer) : null, path => File.WriteAllText(path, ""));
        using var again = Open();
        Assert.True(again.IsResumed);
        Assert.Equal(expected, again.FinishedLayers(Layers));
        if (expected is > 0 and < Layers)
        {
            using var states = again.OpenHidden(expected);
            Assert.Equal(expected - 1, states.ReadByte());
        }
        Assert.True(Directory.GetFiles(again.Path, "hidden-*").Length <= 1);

        static Action<Stream> Save(int layer) => stream => stream.WriteByte((byte)layer);
    }

    private RunFolder Open() => RunFolder.Open(temporary.File("out"), new Dictionary<string, string> { ["a"] = "1" }, startOver: false);

    private static LayerOutcome Outcome(int layer) => new() { Layer = layer, Groups = [], Linears = [], Float = new Dictionary<string, string>(), SequenceLength = 8, LargestActivation = 1, Warnings = [], Seconds = new Dictionary<string, double>() };
}
