using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Divides the producers of a scale group by s and multiplies its consumers, in float32. On real numbers this leaves the layer's
/// function as it was; <c>LayerQuantizer</c> checks on real hidden states that it did.
/// </summary>
public static unsafe class ScaleFold
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
            Multiply(weights[consumer.Module + ".weight"], consumer, s);
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
        Divide(weights[producer.Module + ".weight"]);
        if (weights.Contains(producer.Module + ".bias"))
            Divide(weights[producer.Module + ".bias"], bias: true);

        void Divide(Tensor parameter, bool bias = false)
        {
            var values = Host(parameter, out var copy);
            var w = TensorMemory.Floats(values);
            var width = values.numel() / values.shape[0];
            var count = producer.Rows?.Length ?? (int)values.shape[0];
            for (var i = 0; i < count; i++)
            {
                var row = producer.Rows?[i] ?? i;
                var scale = s[producer.Channel?[i] ?? i];
                var divisor = producer.Power == 1 ? scale : (float)Math.Pow(scale, producer.Power);
                if (producer.Kind == ScaleProducerKind.OnePlusNorm && !bias)
                    w[row] = (1 + w[row]) / divisor - 1;
                else
                    for (var j = row * width; j < (row + 1) * width; j++)
                        w[j] /= divisor;
            }
            Return(parameter, values, copy);
        }
    }

    private static void Multiply(Tensor parameter, ScaleConsumer consumer, float[] s)
    {
        var columns = ColumnScales(consumer, s);
        using var factors = tensor(columns, device: parameter.device);
        parameter.mul_(factors);
    }

    private static Tensor Host(Tensor parameter, out bool copy)
    {
        var values = ComputeDevice.Download(parameter);
        copy = !ReferenceEquals(values, parameter);
        return values;
    }

    private static void Return(Tensor parameter, Tensor values, bool copy)
    {
        if (!copy)
            return;
        parameter.copy_(values);
        values.Dispose();
    }
}
