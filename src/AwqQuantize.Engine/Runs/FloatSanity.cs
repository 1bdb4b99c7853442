using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Runs the float model over a little of the calibration text before hours are spent: a model that is misread, damaged, or fed with
/// another model's tokens gives itself away by an absurd perplexity.
/// </summary>
public static class FloatSanity
{
    private const int MostTokens = 512;

    /// <summary>Mean negative log-likelihood of the first row's tokens, in nats.</summary>
    public static double Measure(DecoderModel model, TokenRows rows, CancellationToken cancel)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var ids = rows.Rows[0].Take(MostTokens).Select(i => (long)i).ToArray();
        var input = tensor(ids).unsqueeze(0);
        var hidden = model.Embed(input);
        var home = hidden.device;
        for (var i = 0; i < model.Graph.LayerCount; i++)
        {
            cancel.ThrowIfCancellationRequested();
            using var inner = NewDisposeScope();
            using var layer = model.LoadLayer(i);
            var next = layer.Forward(hidden.to(layer.Device)).MoveToOuterDisposeScope();
            hidden.Dispose();
            hidden = next;
            Compute.NativeHeap.Trim();
        }
        return model.CrossEntropy(hidden.to(home)[0].narrow(0, 0, ids.Length - 1), input[0].narrow(0, 1, ids.Length - 1));
    }

    /// <summary>Judges what <see cref="Measure"/> found.</summary>
    /// <exception cref="AwqException"><c>FloatModelInsane</c>.</exception>
    public static void Check(double loss, Architectures.ModelGraph graph, Action<string, string> warn)
    {
        var uniform = Math.Log(graph.VocabularySize);
        if (!double.IsFinite(loss) || loss > uniform + 4 || graph.MatchedByShape && loss > 0.75 * uniform)
            throw new AwqException("FloatModelInsane", AwqErrorKind.InvalidData,
                $"The float model predicts the calibration text with {loss:F2} nats per token; guessing would give {uniform:F2}.",
                graph.MatchedByShape
                    ? "The model type is not known and does not behave like any known one: give a description with -ArchitecturePath, or round without calibration (-NoCalibration)."
                    : "The weights may be damaged, or the tokenizer may not belong to the model. Compare the files with their source.");
        if (loss > 0.75 * uniform)
            warn("FloatPerplexityHigh", $"The float model predicts the calibration text badly ({loss:F2} nats per token; guessing would give {uniform:F2}): calibrate with text that the model knows.");
    }
}
