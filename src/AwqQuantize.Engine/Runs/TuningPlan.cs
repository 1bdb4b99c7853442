using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Runs;

/// <summary>What end-to-end tuning will take.</summary>
/// <param name="Settings">Steps and their widths.</param>
/// <param name="TunesCodes">Whether codes are tuned too; they are where the model's weights fit into memory.</param>
/// <param name="Work">All in all, if no step is left out.</param>
/// <param name="MemoryBytes">Of the host, about.</param>
/// <param name="DeviceBytes">Of the device's own memory, about; 0 on the CPU.</param>
/// <param name="DiskBytes">In the run folder.</param>
public sealed record TuningPlan(TuningSettings Settings, bool TunesCodes, WorkEstimate Work, long MemoryBytes, long DeviceBytes, long DiskBytes)
{
    // What a linear takes in each step for being one more, as a part of what it takes in the walk over the layers. A device waits for it.
    private const double CallsOfALinear = 0.3;

    /// <summary>Steps at most.</summary>
    public int Steps => Settings.Steps;

    /// <summary>Tokens that a step looks at.</summary>
    public int TokensPerStep => Settings.TokensPerStep;

    /// <summary>Estimates.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="settings">Steps.</param>
    /// <param name="groupSize">Weights that share a scale.</param>
    /// <param name="forwardPerToken">Operations of a token's forward through the layers.</param>
    /// <param name="tokens">Calibration tokens there are.</param>
    /// <param name="weights">Quantised weights.</param>
    /// <param name="onDevice">Whether a device computes that has its own memory.</param>
    public static TuningPlan Make(ModelGraph graph, TuningSettings settings, int groupSize, double forwardPerToken, long tokens, long weights, bool onDevice = false)
    {
        var memory = TuningMemory.Of(graph, settings, onDevice);
        var head = 2.0 * graph.HiddenSize * graph.VocabularySize;
        var follows = settings.HiddenWeight > 0;
        // Rows that the float model runs over once; where the layers' outputs are followed, it runs over those of each step.
        var seen = follows ? 0 : Math.Min((long)settings.Steps * settings.TokensPerStep, tokens);
        var held = settings.HeldOutOf(tokens);
        var recorded = Math.Min(1, (double)memory.RecordedBytes / graph.Layers.Sum(l => TuningMemory.Recording(l, graph.HiddenSize, settings.TokensPerStep)));
        // Forward, backward by inputs and by weights, a second forward of what was not recorded, and the float model's; the head of both models, and back through it.
        var stepped = (double)settings.Steps * settings.TokensPerStep;
        var gradients = stepped * forwardPerToken * (4 - recorded + (follows ? 1 : 0));
        var looks = settings.Steps / settings.Interval + 2;
        var operations = gradients + 3 * head * stepped + (seen + held) * forwardPerToken + (double)looks * held * (forwardPerToken + 2 * head);
        // Passes over all weights: renewed, their gradients, the signs, the latent codes.
        var work = new WorkEstimate(0, operations, settings.Steps * 0.15 * weights, 0) { Gradients = gradients, Linears = onDevice ? settings.Steps * CallsOfALinear * graph.Layers.Sum(l => l.Linears.Count) : 0 };
        var codes = memory.WeightsStay && settings.CodeRate > 0;
        var there = memory.Bytes + 16 * weights / groupSize + Math.Min(4 * (seen + held) * graph.HiddenSize, settings.MemoryBytes / 4);
        // Of a device's tuning the host has what is on its way to the disk: the state, or the checkpoint's tensors.
        var here = codes ? 6 * weights : weights;
        return new TuningPlan(settings, codes, work, onDevice ? here : there, onDevice ? there : 0, weights * (memory.WeightsStay ? 6 : 1) + 4 * seen * graph.HiddenSize);
    }
}
