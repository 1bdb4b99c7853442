using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>
/// The scales that were folded into a layer, recovered from what they were folded into: exactly from a norm's weights, by least
/// squares from the rows of a linear, or exactly from the columns of one that stayed float. Undoing them makes source and output comparable, and shows whether every fold has its
/// counterpart.
/// </summary>
internal sealed class FoldedScales
{
    private readonly Dictionary<string, double[]> columns = [];
    private readonly Dictionary<string, double[]> rows = [];

    /// <summary>Scale groups of the layer and what was folded: largest over smallest scale, and how many are not positive.</summary>
    public List<(string Group, double Spread, int Wrong)> Groups { get; } = [];

    /// <summary>Norms whose weights carry scales.</summary>
    public HashSet<string> ScaledNorms { get; } = [];

    /// <param name="graph">The layer.</param>
    /// <param name="source">Its float weights.</param>
    /// <param name="output">Its weights in the checkpoint, dequantised.</param>
    /// <param name="staysFloat">Whether a linear is stored as float in the checkpoint.</param>
    public static FoldedScales Recover(LayerGraph graph, LayerWeights source, LayerWeights output, Predicate<string> staysFloat)
    {
        var folded = new FoldedScales();
        // Those of norms first, for rows of a linear can only be compared once its columns can.
        foreach (var group in graph.ScaleGroups.OrderByDescending(g => g.Producers.Any(p => p.Kind != ScaleProducerKind.Linear)))
            folded.Add(group, source, output, staysFloat);
        return folded;
    }

    /// <summary>A module's weight in the checkpoint with its folds undone, [out, in].</summary>
    public Tensor Undo(string module, Tensor weight)
    {
        using var scope = NewDisposeScope();
        var result = weight.clone();
        if (columns.TryGetValue(module, out var c))
            result.div_(tensor(c).to(float32).unsqueeze(0));
        if (rows.TryGetValue(module, out var r))
            result.mul_(tensor(r).to(float32).unsqueeze(1));
        return result.MoveToOuterDisposeScope();
    }

    /// <summary>The same for its bias, [out].</summary>
    public Tensor UndoBias(string module, Tensor bias)
    {
        using var scope = NewDisposeScope();
        return (rows.TryGetValue(module, out var r) ? bias.mul(tensor(r).to(float32)) : bias.clone()).MoveToOuterDisposeScope();
    }

    private void Add(ScaleGroup group, LayerWeights source, LayerWeights output, Predicate<string> staysFloat)
    {
        // The rounding of a quantised producer would be taken for a scale and blamed on a consumer that is the source's own.
        var scales = group.Producers[0].Kind == ScaleProducerKind.Linear && !staysFloat(group.Producers[0].Module) && group.Consumers.FirstOrDefault(c => staysFloat(c.Module)) is { } exact
            ? EstimateFrom(exact, group.Channels, source, output) : Estimate(group.Producers[0], group.Channels, source, output);
        var wrong = scales.Count(s => !(s > 0 && double.IsFinite(s)));
        for (var i = 0; i < scales.Length; i++)
            scales[i] = OrOne(scales[i]);
        Groups.Add((group.Name, scales.Max() / scales.Min(), wrong));
        foreach (var producer in group.Producers)
        {
            if (producer.Kind != ScaleProducerKind.Linear)
            {
                ScaledNorms.Add(producer.Module);
                // A norm's bias is divided like its weight.
                rows[producer.Module] = [.. Enumerable.Range(0, scales.Length).Select(i => scales[i])];
                continue;
            }
            var factors = rows.GetValueOrDefault(producer.Module) ?? Ones((int)source[producer.Module + ".weight"].shape[0]);
            for (var i = 0; i < (producer.Rows?.Length ?? factors.Length); i++)
                factors[producer.Rows?[i] ?? i] *= Math.Pow(scales[producer.Channel?[i] ?? i], producer.Power);
            rows[producer.Module] = factors;
        }
        foreach (var consumer in group.Consumers)
        {
            var factors = columns.GetValueOrDefault(consumer.Module) ?? Ones((int)source[consumer.Module + ".weight"].shape[1]);
            for (var j = 0; j < factors.Length; j++)
                factors[j] *= scales[consumer.Channel?[j] ?? j];
            columns[consumer.Module] = factors;
        }

        static double OrOne(double s) => s > 0 && double.IsFinite(s) ? s : 1;
    }

    private double[] Estimate(ScaleProducer producer, int channels, LayerWeights source, LayerWeights output)
    {
        using var scope = NewDisposeScope();
        var before = source[producer.Module + ".weight"];
        var after = output[producer.Module + ".weight"];
        if (producer.Kind == ScaleProducerKind.Linear)
            after = Undo(producer.Module, after);
        else if (producer.Kind == ScaleProducerKind.OnePlusNorm)
            (before, after) = (before.add(1), after.add(1));
        var (length, width) = (before.shape[0], before.numel() / before.shape[0]);
        var own = before.mul(before).view(length, width).sum([1L], type: ScalarType.Float64).data<double>().ToArray();
        var shared = before.mul(after).view(length, width).sum([1L], type: ScalarType.Float64).data<double>().ToArray();
        var (numerator, denominator) = (new double[channels], new double[channels]);
        for (var i = 0; i < (producer.Rows?.Length ?? length); i++)
        {
            var (row, channel) = (producer.Rows?[i] ?? i, producer.Channel?[i] ?? i);
            numerator[channel] += own[row];
            denominator[channel] += shared[row];
        }
        // A channel that the source switched off carries no scale that could be seen.
        return [.. Enumerable.Range(0, channels).Select(c => numerator[c] == 0 ? 1 : Math.Pow(numerator[c] / denominator[c], 1 / producer.Power))];
    }

    private double[] EstimateFrom(ScaleConsumer consumer, int channels, LayerWeights source, LayerWeights output)
    {
        using var scope = NewDisposeScope();
        var before = source[consumer.Module + ".weight"];
        var after = Undo(consumer.Module, output[consumer.Module + ".weight"]);
        var own = before.mul(before).sum([0L], type: ScalarType.Float64).data<double>().ToArray();
        var shared = before.mul(after).sum([0L], type: ScalarType.Float64).data<double>().ToArray();
        var (numerator, denominator) = (new double[channels], new double[channels]);
        for (var j = 0; j < own.Length; j++)
        {
            var channel = consumer.Channel?[j] ?? j;
            numerator[channel] += shared[j];
            denominator[channel] += own[j];
        }
        return [.. numerator.Zip(denominator, (n, d) => d == 0 ? 1 : n / d)];
    }

    private static double[] Ones(int count) => [.. Enumerable.Repeat(1.0, count)];
}
