using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static AwqQuantize.Engine.Tests.RandomTensors;

namespace AwqQuantize.Engine.Tests.Calibration;

public sealed class InputStatisticsTests
{
    [Theory]
    [InlineData(40, 96)]
    [InlineData(70, 1100)]
    public void SumsUpGramMagnitudesAndExtremesOverBatches(int tokens, int channels)
    {
        var x = Activations(tokens, channels, 11);
        using var whole = ToTensor(x);
        using var statistics = new InputStatistics(channels, ComputeDevice.Host);
        statistics.Add(whole.narrow(0, 0, 13).contiguous());
        statistics.Add(whole.narrow(0, 0, 0).contiguous());
        statistics.Add(whole.narrow(0, 13, tokens - 13).contiguous());
        Assert.Equal(tokens, statistics.Tokens);
        var mean = statistics.MeanMagnitude();
        var signed = statistics.Mean();
        for (var j = 0; j < channels; j++)
        {
            Assert.Equal(Enumerable.Range(0, tokens).Average(t => Math.Abs(x[t, j])), mean[j], 1e-5 * (1 + mean[j]));
            Assert.Equal(Enumerable.Range(0, tokens).Average(t => x[t, j]), signed[j], 1e-5 * (1 + mean[j]));
        }
        Assert.Equal(x.Cast<double>().Max(Math.Abs), statistics.Largest, 1e-5 * statistics.Largest);
        var expected = Gram(x);
        using var taken = statistics.TakeGram();
        var gram = ToArray(taken);
        for (var i = 0; i < channels; i++)
            for (var j = 0; j < channels; j++)
                Assert.Equal(expected[i, j], gram[i, j], 1e-4 * Math.Sqrt(expected[i, i] * expected[j, j]) + 1e-6);
    }
}
