using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;

namespace AwqQuantize.Engine.Runs;

/// <summary>How the model's loss is followed back to the outputs of its linears: some rows at a time, for the hidden states before all layers are kept.</summary>
/// <param name="Slices">Into which the calibration rows fall, evenly spread; the first of them gives the Gram matrices of the gradients.</param>
/// <param name="OnDisk">Whether hidden states are kept on disk.</param>
/// <param name="WorkingBytes">Where layers run: one of them with what its gradients need, or the head. About.</param>
/// <param name="HeldBytes">Of the host besides: the hidden states.</param>
/// <param name="DiskBytes">In the run folder.</param>
/// <param name="Work">All in all.</param>
public sealed record GradientPlan(int Slices, bool OnDisk, long WorkingBytes, long HeldBytes, long DiskBytes, WorkEstimate Work)
{
    // Enough for Gram matrices of the widest parts.
    private const int TokensOfSlice = 16_384;

    // The forward, and what gradients of hidden states alone take: a forward that is recorded, and its way back.
    private const double Forwards = 3;

    /// <summary>Estimates.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="rows">Calibration rows.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="forwardPerToken">Operations of a token's forward through the layers.</param>
    /// <param name="room">Bytes that there are beside the process.</param>
    public static GradientPlan Make(ModelGraph graph, int rows, int length, double forwardPerToken, long room)
    {
        var most = Math.Max(1, TokensOfSlice / length);
        var slices = (rows + most - 1) / most;
        var seen = (long)RowsOf(rows, slices, 0) * length;
        var states = 4L * graph.HiddenSize * seen * (graph.LayerCount + 1);
        var layers = graph.Layers.Select(l => 4 * l.ElementCount + Grams(l) + Tuning.TuningMemory.Recording(l, graph.HiddenSize, Math.Max(length, GradientWalk.Tokens))).Max();
        var head = 4L * graph.HiddenSize * graph.VocabularySize + 5 * 4L * Math.Max(GradientWalk.LogitElements, graph.VocabularySize);
        var onDisk = Math.Max(layers, head) + states > 0.9 * room;
        var tokens = (double)rows * length;
        var heads = 2.0 * 2 * graph.HiddenSize * graph.VocabularySize * tokens;
        var matrices = 2.0 * seen * graph.Layers.Sum(l => Grams(l) / 4);
        var disk = graph.Layers.Sum(Grams) + 4 * (long)tokens * graph.Layers.Sum(l => l.Linears.Count(x => x.Expert < 0));
        var work = new WorkEstimate(0, Forwards * forwardPerToken * tokens + heads + matrices, 0, 2 * disk) { Gradients = Forwards * forwardPerToken * tokens };
        return new GradientPlan(slices, onDisk, Math.Max(layers, head), onDisk ? 0 : states, disk + (onDisk ? states : 0), work);
    }

    /// <summary>Rows of a slice: every so manyth.</summary>
    public static int RowsOf(int rows, int slices, int slice) => (rows - slice + slices - 1) / slices;

    private static long Grams(LayerGraph layer) => layer.Linears.Where(l => l.KeepFloatReason is null)
        .Sum(GramBytes);

    /// <summary>Bytes of a linear's matrices.</summary>
    public static long GramBytes(LinearSpec linear) => Enumerable.Range(0, CoupledRounding.Parts(linear.Out)).Select(p => (long)CoupledRounding.Part(linear.Out, p).Count).Sum(n => 4 * n * n);
}
