using System.Text;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Commands;

/// <summary>A plan in words, as <c>-WhatIf</c> prints it.</summary>
internal static class PlanText
{
    public static string Of(QuantizationPlan plan)
    {
        if (plan.IsDone)
            return $"Leave '{plan.Path}' as it is: it was made from '{plan.SourcePath}' with these options";
        var text = new StringBuilder($"Quantise '{plan.SourcePath}' ({plan.Architecture}, {plan.Layers} layers) to '{plan.Path}':");
        text.Append($" {plan.QuantizedModules} linears to 4 bits in groups of {plan.GroupSize} ({plan.BitsPerWeight:0.00} bits per weight), {plan.FloatModules.Count} stay float;");
        text.Append($" {Display.Size(plan.Size)} of tensors.");
        text.Append(plan.Rows > 0 ? $" Calibration: {plan.Rows} rows of {plan.SequenceLength} tokens." : " No calibration.");
        if (plan.Sensitivity is { } s)
        {
            text.Append($" {s.Sets.Count} sets of linears are measured, each alone in 4 bits ({s.LayerForwards} forwards of a layer over {s.MeasuredPieces * s.PieceLength} tokens, about {s.ForwardEquivalents:0.##} forwards of the calibration text);");
            text.Append($" the {s.Shortlist} that change the most are followed to the logits, and up to {s.SpareWeights} of {plan.Weights} weights stay in float16.");
        }
        if (plan.Gradients is { } gradients)
            text.Append($" The model's loss is followed back to the outputs of all linears{(gradients.Slices > 1 ? $", {gradients.Slices} parts of the rows one after another" : "")}.");
        if (plan.Tuning is { } tuning)
            text.Append($" Then up to {tuning.Steps} steps of end-to-end tuning of group scales, norms{(tuning.TunesCodes ? ", biases and codes" : " and biases")} over {tuning.TokensPerStep} tokens each.");
        text.Append($" Needs about {Display.Size(plan.PeakMemory)} of memory");
        text.Append(plan.HiddenStatesOnDisk ? " (hidden states are kept on disk)" : plan.HiddenStatesMemory > 0 ? $" ({Display.Size(plan.HiddenStatesMemory)} of it hidden states)" : "");
        if (plan.DevicePeakMemory > 0)
            text.Append($", {Display.Size(plan.DevicePeakMemory)} of GPU memory{(plan.HiddenStatesOnDevice ? " (hidden states included)" : " (hidden states stay in host memory)")}");
        text.Append($", {Display.Size(plan.DiskBytes)} of disk");
        text.Append(plan.Duration is { } duration ? $", and {Display.Duration(duration)} as busy as the machine is now." : ".");
        foreach (var reason in plan.FloatModules.GroupBy(f => f.Value).OrderByDescending(g => g.Count()).ThenBy(g => g.Key, StringComparer.Ordinal))
            text.Append($"{Environment.NewLine}  float: {reason.First().Key}{(reason.Count() > 1 ? $" and {reason.Count() - 1} more" : "")}: {reason.Key}");
        return text.ToString();
    }
}
