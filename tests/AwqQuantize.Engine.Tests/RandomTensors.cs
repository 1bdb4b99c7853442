using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests;

/// <summary>Random data that is the same at every run, and plain double loops to check against.</summary>
internal static class RandomTensors
{
    public static double[,] Normal(int rows, int columns, int seed)
    {
        var random = new Random(seed);
        var values = new double[rows, columns];
        for (var i = 0; i < rows; i++)
            for (var j = 0; j < columns; j++)
                values[i, j] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    /// <summary>Inputs whose channels are correlated and differ in size, as activations are.</summary>
    public static double[,] Activations(int tokens, int channels, int seed)
    {
        var x = Normal(tokens, channels, seed);
        var size = Normal(1, channels, seed + 1);
        for (var t = 0; t < tokens; t++)
            for (var j = 0; j < channels; j++)
                x[t, j] = (float)((x[t, j] + (j > 0 ? 0.7 * x[t, j - 1] : 0)) * Math.Exp(size[0, j]));
        return x;
    }

    public static double[,] Gram(double[,] x)
    {
        var (tokens, n) = (x.GetLength(0), x.GetLength(1));
        var h = new double[n, n];
        for (var t = 0; t < tokens; t++)
            for (var i = 0; i < n; i++)
                for (var j = 0; j < n; j++)
                    h[i, j] += x[t, i] * x[t, j] / tokens;
        return h;
    }

    public static Tensor ToTensor(double[,] values)
    {
        var (rows, columns) = (values.GetLength(0), values.GetLength(1));
        var flat = new float[rows * columns];
        for (var i = 0; i < rows; i++)
            for (var j = 0; j < columns; j++)
                flat[i * columns + j] = (float)values[i, j];
        return tensor(flat, [rows, columns]);
    }

    public static double[,] ToArray(Tensor t)
    {
        var values = new double[t.shape[0], t.shape[1]];
        var flat = t.contiguous().data<float>().ToArray();
        for (var i = 0; i < t.shape[0]; i++)
            for (var j = 0; j < t.shape[1]; j++)
                values[i, j] = flat[i * t.shape[1] + j];
        return values;
    }

    /// <summary>Σ over rows of e H eᵀ.</summary>
    public static double QuadraticLoss(double[,] e, double[,] h)
    {
        var total = 0.0;
        for (var r = 0; r < e.GetLength(0); r++)
            for (var i = 0; i < h.GetLength(0); i++)
                for (var j = 0; j < h.GetLength(0); j++)
                    total += e[r, i] * h[i, j] * e[r, j];
        return total;
    }

    public static double[,] Subtract(double[,] a, double[,] b)
    {
        var c = new double[a.GetLength(0), a.GetLength(1)];
        for (var i = 0; i < a.GetLength(0); i++)
            for (var j = 0; j < a.GetLength(1); j++)
                c[i, j] = a[i, j] - b[i, j];
        return c;
    }
}
