using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static AwqQuantize.Engine.Tests.RandomTensors;

namespace AwqQuantize.Engine.Tests.Awq;

/// <summary>Rounding of linears whose outputs matter together, tr(G E H Eᵀ), against plain algebra.</summary>
public sealed unsafe class CoupledRoundingTests
{
    private const int Group = 32;

    /// <summary>
    /// The form is a quadratic one over all weights, G ⊗ H. Visited one after another, each is to be rounded to where it would be best
    /// if those still to come followed freely: that is solved densely here, weight by weight.
    /// </summary>
    [Fact]
    public void EachWeightIsRoundedToTheBestThatIsLeftWithTheOthersFree()
    {
        const int Rows = 4;
        var weights = Normal(Rows, Group, 1);
        using var inputs = Curvature.From(ToTensor(Gram(Activations(80, Group, 2))));
        using var outputs = Curvature.From(ToTensor(Gram(Activations(40, Rows, 3))));
        var linear = Fitted(weights, inputs);
        CoupledRounding.Round(ToTensor(weights), 0, inputs, outputs, linear);

        var (g, h) = (ToArray(outputs.H), ToArray(inputs.H));
        var visited = (from row in outputs.Order.Reverse() from column in inputs.Order.Reverse() select (Row: row, Column: column)).ToList();
        var errors = new double[Rows * Group];
        for (var at = 0; at < visited.Count; at++)
        {
            // With those to come free, the error of this one and of those is -K_ff⁻¹ K_fd e_d; what is rounded to is w minus its own.
            var free = visited.Skip(at).ToList();
            var (matrix, right) = (new double[free.Count, free.Count], new double[free.Count]);
            for (var i = 0; i < free.Count; i++)
            {
                for (var j = 0; j < free.Count; j++)
                    matrix[i, j] = g[free[i].Row, free[j].Row] * h[free[i].Column, free[j].Column];
                for (var d = 0; d < at; d++)
                    right[i] -= g[free[i].Row, visited[d].Row] * h[free[i].Column, visited[d].Column] * errors[d];
            }
            var (row, column) = visited[at];
            var target = weights[row, column] - SolveFirst(matrix, right);
            var (scale, zero) = ((double)linear.Scales[row], (double)linear.Zeros[row]);
            var code = Math.Clamp(Math.Round(target / scale) + zero, 0, 15);
            var close = Math.Abs(target / scale - Math.Floor(target / scale) - 0.5) < 1e-3;
            Assert.True(close || code == linear.Codes[row * Group + column], $"weight {row}, {column}: {target / scale + zero} became {linear.Codes[row * Group + column]}");
            errors[at] = weights[row, column] - (linear.Codes[row * Group + column] - zero) * scale;
        }
    }

    [Theory]
    [InlineData(24, 96, 0)]
    [InlineData(150, 320, 8)]
    public void TheLossThatIsToldIsTheForm(int rows, int columns, int offset)
    {
        var weights = Normal(offset + rows, columns, 4);
        using var inputs = Curvature.From(ToTensor(Gram(Activations(500, columns, 5))));
        using var outputs = Curvature.From(ToTensor(Gram(Activations(300, rows, 6))));
        var linear = Fitted(weights, inputs);
        using var all = ToTensor(weights);
        using var own = all.narrow(0, offset, rows);
        var loss = CoupledRounding.Round(own, offset, inputs, outputs, linear);
        Assert.Equal(Form(), loss, 1e-3 * loss);
        for (var sweep = 0; sweep < 3; sweep++)
        {
            var gain = CoupledRounding.Improve(own, offset, inputs, outputs, linear, refitScales: true);
            Assert.True(gain > 0);
            Assert.Equal(Form(), loss -= gain, 2e-3 * loss);
        }

        double Form()
        {
            var (all, errors, g, h) = (Subtract(weights, Dequantized(linear)), new double[rows, columns], ToArray(outputs.H), ToArray(inputs.H));
            for (var r = 0; r < rows; r++)
                for (var c = 0; c < columns; c++)
                    errors[r, c] = all[offset + r, c];
            var bent = Product(g, errors);
            var sum = 0.0;
            var other = Product(errors, h);
            for (var r = 0; r < rows; r++)
                for (var c = 0; c < columns; c++)
                    sum += bent[r, c] * other[r, c];
            return sum;
        }
    }

    [Fact]
    public void RowsThatKnowNothingOfEachOtherAreRoundedAsSuch()
    {
        const int Rows = 80, Columns = 128;
        var weights = Normal(Rows, Columns, 7);
        using var inputs = Curvature.From(ToTensor(Gram(Activations(300, Columns, 8))));
        using var outputs = Curvature.From(torch.eye(Rows));
        var (alone, together) = (Fitted(weights, inputs), Fitted(weights, inputs));
        CompensatedRounding.Round(ToTensor(weights), inputs, alone);
        CoupledRounding.Round(ToTensor(weights), 0, inputs, outputs, together);
        Assert.Equal(alone.Codes, together.Codes);
    }

    /// <summary>The whole way, over a linear of several parts: what the loss sees becomes less, and what is dequantised is what is stored.</summary>
    [Theory]
    [InlineData(96)]
    [InlineData(CoupledRounding.MostRows + 8)]
    public void TheLossIsLessThanThatOfRowsOnTheirOwn(int rows)
    {
        const int Columns = 64;
        var weights = Normal(rows, Columns, 9);
        var grams = Enumerable.Range(0, CoupledRounding.Parts(rows)).Select(p => Gram(Activations(400, CoupledRounding.Part(rows, p).Count, 10 + p))).ToList();
        var settings = new AwqSettings { GroupSize = Group, Sweeps = 8 };
        using var inputs = Curvature.From(ToTensor(Gram(Activations(300, Columns, 12))));
        using var alone = ToTensor(weights);
        LinearRounding.Round(alone, inputs, 100_000, settings, out _);
        using var together = ToTensor(weights);
        var linear = CoupledRounding.Round(together, inputs, [.. grams.Select(ToTensor)], settings, out _);
        Assert.Equal(Dequantized(linear), ToArray(together));
        Assert.InRange(Loss(ToArray(together)) / Loss(ToArray(alone)), 0, 0.85);

        double Loss(double[,] made)
        {
            var (errors, h) = (Subtract(weights, made), ToArray(inputs.H));
            var sum = 0.0;
            for (var part = 0; part < grams.Count; part++)
            {
                var (first, count) = CoupledRounding.Part(rows, part);
                var own = new double[count, Columns];
                for (var r = 0; r < count; r++)
                    for (var c = 0; c < Columns; c++)
                        own[r, c] = errors[first + r, c];
                var (left, right) = (Product(grams[part], own), Product(own, h));
                for (var r = 0; r < count; r++)
                    for (var c = 0; c < Columns; c++)
                        sum += left[r, c] * right[r, c];
            }
            return sum;
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2048, 1)]
    [InlineData(2049, 2)]
    [InlineData(5000, 3)]
    [InlineData(14336, 7)]
    public void PartsCoverAllRows(int rows, int parts)
    {
        Assert.Equal(parts, CoupledRounding.Parts(rows));
        var next = 0;
        for (var part = 0; part < parts; part++)
        {
            var (first, count) = CoupledRounding.Part(rows, part);
            Assert.Equal(next, first);
            Assert.InRange(count, 1, CoupledRounding.MostRows);
            next += count;
        }
        Assert.Equal(rows, next);
    }

    private static QuantizedLinear Fitted(double[,] weights, Curvature curvature)
    {
        var linear = new QuantizedLinear(weights.GetLength(0), weights.GetLength(1), Group);
        using var tensor = ToTensor(weights);
        fixed (float* pivots = curvature.Pivots)
            RangeFit.Fit(TensorMemory.Floats(tensor), pivots, linear);
        return linear;
    }

    private static double[,] Dequantized(QuantizedLinear linear)
    {
        var values = torch.empty(linear.Rows, linear.Columns);
        linear.Dequantize(TensorMemory.Floats(values));
        return ToArray(values);
    }

    private static double[,] Product(double[,] a, double[,] b)
    {
        var result = new double[a.GetLength(0), b.GetLength(1)];
        for (var i = 0; i < a.GetLength(0); i++)
            for (var k = 0; k < a.GetLength(1); k++)
                for (var j = 0; j < b.GetLength(1); j++)
                    result[i, j] += a[i, k] * b[k, j];
        return result;
    }

    /// <summary>The first unknown of a symmetric positive system, by elimination from the last one on.</summary>
    private static double SolveFirst(double[,] matrix, double[] right)
    {
        for (var k = right.Length - 1; k > 0; k--)
            for (var i = 0; i < k; i++)
            {
                var factor = matrix[i, k] / matrix[k, k];
                for (var j = 0; j <= k; j++)
                    matrix[i, j] -= factor * matrix[k, j];
                right[i] -= factor * right[k];
            }
        return right[0] / matrix[0, 0];
    }
}
