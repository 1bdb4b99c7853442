using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Divides the producers of a scale group by s and multiplies its consumers, in float32. On real numbers this leaves the layer's
/// function as it was; <c>LayerQuantizer</c> checks on real hidden states that it did.
/// </summary>
public static class ScaleFold
{
    /// <summary>Applies a fold to a layer's weights, in place.</summary>
    /// <param name="weights">Of the layer.</param>
    /// <param name="group">Producers and consumers.</param>
    /// <param name="s">[group.Channels].</param>
    public static void Apply(LayerWeights weights, ScaleGroup group, float[] s)
    {
        foreach (var producer in group.Producers)
            Divide(weights, producer, s);
        foreach (var consumer in group.Consumers)
        {
            Multiply(weights[consumer.Module + ".weight"], consumer, s);
            weights.Touch(consumer.Module + ".weight");
        }
    }

    /// <summary>The scale of each column of a consumer.</summary>
    public static float[] ColumnScales(ScaleConsumer consumer, float[] s) =>
        consumer.Channel is null ? s : [.. consumer.Channel.Select(c => s[c])];

    /// <summary>Does to a producer that is quantised already what <see cref="Apply"/> does to its float weights.</summary>
    public static void DivideRows(QuantizedLinear linear, ScaleProducer producer, float[] s)
    {
        var count = producer.Rows?.Length ?? linear.Rows;
        for (var i = 0; i < count; i++)
            linear.DivideRow(producer.Rows?[i] ?? i, (float)Math.Pow(s[producer.Channel?[i] ?? i], producer.Power));
    }

    private static void Divide(LayerWeights weights, ScaleProducer producer, float[] s)
    {
        Divide(producer.Module + ".weight", producer.Kind == ScaleProducerKind.OnePlusNorm);
        if (weights.Contains(producer.Module + ".bias"))
            Divide(producer.Module + ".bias", onePlus: false);

        void Divide(string name, bool onePlus)
        {
            using var scope = NewDisposeScope();
            var parameter = weights[name];
            var rows = parameter.shape[0];
            var (divisors, touched) = (new float[rows], new bool[rows]);
            Array.Fill(divisors, 1);
            for (var i = 0; i < (producer.Rows?.Length ?? rows); i++)
            {
                var (row, scale) = (producer.Rows?[i] ?? i, s[producer.Channel?[i] ?? i]);
                divisors[row] = producer.Power == 1 ? scale : (float)Math.Pow(scale, producer.Power);
                touched[row] = true;
            }
            var divisor = tensor(divisors, device: parameter.device).view([rows, .. parameter.shape.Skip(1).Select(_ => 1L)]);
            if (onePlus) // what is not divided must not be rounded either
                parameter.copy_(where(tensor(touched, device: parameter.device), parameter.add(1).div_(divisor).sub_(1), parameter));
            else
                parameter.div_(divisor);
            weights.Touch(name);
        }
    }

    private static void Multiply(Tensor parameter, ScaleConsumer consumer, float[] s)
    {
        var columns = ColumnScales(consumer, s);
        using var factors = tensor(columns, device: parameter.device);
        parameter.mul_(factors);
    }
}
