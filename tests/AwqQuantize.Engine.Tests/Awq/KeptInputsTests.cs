using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Tests.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>A block is left from inputs that were kept, or by running it again: for all rows, none, or some the hidden states are the same, but for float16's last place.</summary>
public sealed class KeptInputsTests
{
    private const int Rows = 6, Length = 16;

    [Theory]
    [InlineData("llama")]
    [InlineData("gemma2")]
    [InlineData("phi3")]
    public void HowManyInputsAreKeptDoesNotChangeWhereRowsGo(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var wanted = After(tiny, 0, rowsAtOnce: 2);
        var wide = tiny.Graph.Layers[0].Linears.Max(l => l.In);
        // All; of the widest two and a half batches, of narrower ones more; less than one batch.
        foreach (var kept in new[] { 1L << 30, 5L * Length * wide * sizeof(float), Length * sizeof(float) })
        {
            var states = After(tiny, kept, rowsAtOnce: 2);
            // Kept inputs are divided by the scales of the fold; what makes them again was divided too, and then rounded to float16.
            Assert.InRange((states - wanted).abs().max().item<float>(), 0, 5e-4f * wanted.abs().max().item<float>());
        }
    }

    private static Tensor After(TinyModel tiny, long kept, int rowsAtOnce)
    {
        // torch's own random numbers are shared with the tests that run beside this one.
        var random = new Random(3);
        using var hidden = new HiddenStates(Rows, Length, tiny.Graph.HiddenSize);
        using var ids = tensor(Enumerable.Range(0, Rows * Length).Select(_ => (long)random.Next(tiny.Graph.VocabularySize)).ToArray(), [Rows, Length]);
        hidden.Store(0, tiny.Model.Embed(ids));
        using var layer = tiny.Model.LoadLayer(0);
        var settings = new AwqSettings { GroupSize = 32, KeptInputBytes = kept };
        // Only what reads the layer's last input is quantised: the last bits of hidden states would decide codes of what comes later.
        var last = layer.LastSite(layer.Graph.BlockCount - 1);
        var stay = layer.Graph.Linears.Where(l => l.Site != last).ToDictionary(l => l.Module, _ => "");
        Assert.NotEqual(stay.Count, layer.Graph.Linears.Count);
        new LayerQuantizer(layer, hidden, settings, stay, new MicroBatch(rowsAtOnce, "unused", (_, text) => Assert.Fail(text)), default).Run();
        return hidden.View(0, Rows).clone();
    }
}
