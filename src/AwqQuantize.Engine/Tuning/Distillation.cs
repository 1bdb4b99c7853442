using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>How far the quantised model's predictions are from the float model's: KL(float‖quantised), in nats per token.</summary>
/// <param name="teacher">The float model; only its head runs here.</param>
/// <param name="student">The quantised model, likewise.</param>
/// <param name="cancel">Asked at each chunk: heads of large vocabularies take seconds.</param>
internal sealed class Distillation(DecoderModel teacher, DecoderModel student, CancellationToken cancel)
{
    /// <summary>Most elements of a chunk of logits; five such buffers live at once.</summary>
    internal const long LogitElements = 1 << 22;

    /// <summary>Sum of the divergence over tokens, and its gradient by the student's hidden states where that is wanted.</summary>
    /// <param name="expected">What left the teacher's last layer, [tokens, hidden].</param>
    /// <param name="hidden">What left the student's, [tokens, hidden].</param>
    /// <param name="gradient">Receives the gradient of the mean over tokens, of the same shape; null for none. Gradients of the
    /// student's final norm are left at its parameters.</param>
    public double Measure(Tensor expected, Tensor hidden, Tensor? gradient)
    {
        var tokens = hidden.shape[0];
        var chunk = Math.Max(1, LogitElements / student.Graph.VocabularySize);
        var sum = 0.0;
        for (var from = 0L; from < tokens; from += chunk)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var count = Math.Min(chunk, tokens - from);
            var p = nn.functional.log_softmax(teacher.Logits(expected.narrow(0, from, count).unsqueeze(0))[0], 1);
            var own = hidden.narrow(0, from, count).unsqueeze(0);
            if (gradient is null)
            {
                var q = nn.functional.log_softmax(student.Logits(own)[0], 1);
                sum += p.exp().mul_(p.sub(q)).sum(ScalarType.Float64).item<double>();
                continue;
            }
            var leaf = own.detach().requires_grad_(true);
            var logits = student.LogitsForGradient(leaf);
            using var guard = no_grad();
            var predicted = nn.functional.log_softmax(logits.detach()[0], 1);
            var wanted = p.exp();
            sum += p.sub_(predicted).mul_(wanted).sum(ScalarType.Float64).item<double>();
            // d KL / d logits = q - p.
            logits.backward([predicted.exp_().sub_(wanted).div_(tokens).unsqueeze(0)]);
            gradient.narrow(0, from, count).copy_(leaf.grad![0]);
        }
        return sum;
    }
}
