using AwqQuantize.Engine.Architectures;

namespace AwqQuantize.Engine.Tuning;

/// <summary>What of a tuning stays in memory, decided from a model's size and the memory there is.</summary>
/// <param name="WeightsStay">Whether all weights stay for all steps, so that codes can be tuned, too.</param>
/// <param name="RecordedBytes">Most bytes that backward passes may need at one time.</param>
/// <param name="Bytes">All in all, about.</param>
public sealed record TuningMemory(bool WeightsStay, long RecordedBytes, long Bytes)
{
    // Weights, latent codes and gradients in float32, and signs of the codes' gradients.
    private const long BytesPerWeight = 13;

    // Of the float model, where it stays.
    private const long BytesPerTeachersWeight = 4;

    /// <summary>Decides.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="settings">Steps.</param>
    /// <param name="onDevice">Whether a device computes that has its own memory: it keeps the float model beside.</param>
    public static TuningMemory Of(ModelGraph graph, TuningSettings settings, bool onDevice)
    {
        var follows = settings.HiddenWeight > 0;
        var perWeight = BytesPerWeight + (onDevice && follows ? BytesPerTeachersWeight : 0);
        var layers = graph.Layers.Select(l => l.ElementCount).ToList();
        var stay = layers.Sum() * perWeight < settings.MemoryBytes / 3;
        var recorded = Math.Min(settings.MemoryBytes / 6, graph.Layers.Sum(l => Recording(l, graph.HiddenSize, settings.TokensPerStep)));
        // One layer's gradients, logits with their gradients in pieces, and the head, which both models have in common.
        var logits = Math.Min(Distillation.LogitElements, (long)settings.TokensPerStep * graph.VocabularySize);
        var working = 2 * 4 * layers.Max() + 5 * 4 * logits + 4L * graph.HiddenSize * graph.VocabularySize;
        var wanted = follows ? 4L * graph.HiddenSize * settings.TokensPerStep * graph.LayerCount + (onDevice && stay ? 0 : 4 * layers.Max()) : 0;
        return new TuningMemory(stay, recorded, perWeight * (stay ? layers.Sum() : layers.Max()) + recorded + working + wanted);
    }

    /// <summary>What a layer's backward pass needs of its forward pass: each linear's input and output and what lies between, the norms, and weights in the type of the products.</summary>
    public static long Recording(LayerGraph layer, int hidden, long tokens) => 2 * layer.Linears.Sum(l => (long)l.In * l.Out) +
        tokens * 4 * (12L * hidden + layer.Linears.Where(l => l.Expert <= 0).Sum(l => (l.Expert < 0 ? 3L : 24L) * (l.In + l.Out)));
}
