using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// Rounds a linear whose output channels matter together: loss(E) = tr(G E H Eᵀ) with G = E[g gᵀ] of the gradients g of the model's own
/// loss by the linear's outputs, which makes it that loss to second order (Kronecker-factored Fisher information, arXiv 1503.05671; for
/// rounding: arXiv 2505.22988). With G = M B Mᵀ and H = V D Vᵀ it is Σ B_i D_k (MᵀEV)²_ik, so each weight is rounded to a target that
/// makes up for the errors of the columns before it in its row and of the rows before it (see <see cref="CompensatedRounding"/>);
/// descent on the full form follows (see <see cref="GroupDescent"/>).
/// </summary>
public static unsafe class CoupledRounding
{
    // Rows that are worked on one by one before the others hear of them.
    private const int Block = 64;

    // G is made of fewer tokens than H, and each of its directions of fewer still.
    private const double Damping = 0.05;

    /// <summary>Most rows whose errors see each other; those of a linear with more are worked on in equal parts.</summary>
    public const int MostRows = 2048;

    /// <summary>Into how many parts the rows of a linear fall.</summary>
    public static int Parts(long rows) => (int)((rows + MostRows - 1) / MostRows);

    /// <summary>First row of a part, and how many there are.</summary>
    public static (int First, int Count) Part(int rows, int part)
    {
        var height = (rows + Parts(rows) - 1) / Parts(rows);
        return (part * height, Math.Min(height, rows - part * height));
    }

    /// <summary>Quantises a linear.</summary>
    /// <param name="weights">[out, in] float32 in host memory, already folded; overwritten with the dequantised weights.</param>
    /// <param name="inputs">Of its inputs, in host memory.</param>
    /// <param name="outputs">G of each <see cref="Part"/>, symmetric; changed in place.</param>
    /// <param name="settings">Which steps are taken.</param>
    /// <param name="loss">tr(G E H Eᵀ) in the end.</param>
    public static QuantizedLinear Round(Tensor weights, Curvature inputs, IReadOnlyList<Tensor> outputs, AwqSettings settings, out double loss)
    {
        var linear = new QuantizedLinear((int)weights.shape[0], (int)weights.shape[1], settings.GroupSize);
        var w = TensorMemory.Floats(weights);
        fixed (float* importance = inputs.Pivots)
            RangeFit.Fit(w, importance, linear);
        var nearest = LinearRounding.SampledLoss(weights, linear, inputs, nearest: true);
        loss = 0;
        for (var part = 0; part < outputs.Count; part++)
        {
            using var scope = NewDisposeScope();
            using var rows = Curvature.From(outputs[part], Damping);
            var (first, count) = Part(linear.Rows, part);
            var own = weights.narrow(0, first, count);
            var left = Round(own, first, inputs, rows, linear);
            for (var sweep = 0; sweep < settings.Sweeps; sweep++)
            {
                var gain = Improve(own, first, inputs, rows, linear, settings.RefitScales);
                left -= gain;
                if (gain < 1e-3 * left)
                    break;
            }
            loss += left;
        }
        linear.RoundingGain = nearest > 0 ? 1 - LinearRounding.SampledLoss(weights, linear, inputs, nearest: false) / nearest : null;
        if (settings.KeepResiduals)
            linear.KeepResiduals(w);
        linear.Dequantize(w);
        return linear;
    }

    /// <summary>Rounds rows, from the last of the outputs' order to the first.</summary>
    /// <param name="weights">[rows, in].</param>
    /// <param name="offset">Where they begin in the linear.</param>
    /// <param name="inputs">H.</param>
    /// <param name="outputs">G.</param>
    /// <param name="into">Has scales and zero points; receives the codes.</param>
    /// <returns>tr(G E H Eᵀ).</returns>
    internal static double Round(Tensor weights, int offset, Curvature inputs, Curvature outputs, QuantizedLinear into)
    {
        var (rows, n) = (outputs.Columns, into.Columns);
        using var scope = NewDisposeScope();
        var missed = empty(rows, n); // E V of the rows that are rounded, columns in the order of the inputs
        var order = tensor(outputs.Order.Select(i => (long)i).ToArray());
        var loss = 0.0;
        for (var end = rows; end > 0; end -= Block)
        {
            using var inner = NewDisposeScope();
            var start = Math.Max(0, end - Block);
            using var buffers = new RoundingBuffers(weights.index_select(0, order.narrow(0, start, end - start)), inputs);
            var asked = end == rows ? zeros(end - start, n)
                : outputs.Factor.narrow(0, end, rows - end).narrow(1, start, end - start).t().mm(missed.narrow(0, end, rows - end));
            loss += RoundRows(buffers, asked, missed.narrow(0, start, end - start), start, offset, inputs, outputs, into);
        }
        return loss;
    }

    /// <summary>One block of rows.</summary>
    /// <param name="asked">What rows of earlier blocks ask of each to make up for them; those of this block are added.</param>
    private static double RoundRows(RoundingBuffers buffers, Tensor asked, Tensor missed, int first, int offset, Curvature inputs, Curvature outputs, QuantizedLinear into)
    {
        var (n, count, groups, size) = (into.Columns, (int)asked.shape[0], into.Groups, into.GroupSize);
        float* w = TensorMemory.Floats(buffers.Permuted), e = TensorMemory.Floats(buffers.Errors), f = TensorMemory.Floats(missed), a = TensorMemory.Floats(asked),
            m = TensorMemory.Floats(outputs.Factor);
        var loss = 0.0;
        for (var end = n; end > 0; end -= CompensatedRounding.Block)
        {
            using var scope = NewDisposeScope();
            var start = Math.Max(0, end - CompensatedRounding.Block);
            var width = end - start;
            var targets = buffers.Targets(width);
            targets.copy_(buffers.Permuted.narrow(1, start, width));
            if (end < n)
                targets.addmm_(buffers.Errors.narrow(1, end, n - end), inputs.Factor.narrow(0, end, n - end).narrow(1, start, width), 1, 1);
            var t = TensorMemory.Floats(targets);
            buffers.TakeTriangle(inputs, start, width);
            fixed (float* triangle = buffers.Triangle)
                for (long i = count - 1; i >= 0; i--)
                {
                    float* target = t + i * width, own = a + i * n + start;
                    for (var j = i + 1; j < count; j++)
                        GroupDescent.AddScaled(own, f + j * n + start, m[(first + j) * outputs.Columns + first + i], width);
                    GroupDescent.AddScaled(target, own, 1, width);
                    var row = outputs.Order[first + i];
                    var sum = 0.0;
                    for (var k = width - 1; k >= 0; k--)
                    {
                        var (column, at) = (inputs.Order[start + k], i * n + start + k);
                        var group = (long)(offset + row) * groups + column / size;
                        var (scale, zero) = (into.Scales[group], (float)into.Zeros[group]);
                        var code = GroupRange.Code(target[k], 1 / scale, zero);
                        var value = (code - zero) * scale;
                        into.Codes[(long)(offset + row) * n + column] = (byte)code;
                        var miss = target[k] - value;
                        sum += (double)miss * miss * inputs.Pivots[column];
                        f[at] = miss - own[k];
                        e[at] = w[at] - value;
                        GroupDescent.AddScaled(target, triangle + k * width, e[at], k);
                    }
                    loss += sum * outputs.Pivots[row];
                }
        }
        return loss;
    }

    /// <summary>A sweep of descent over all groups of all rows, each with what all others are by then. The loss never grows.</summary>
    /// <returns>By how much it fell.</returns>
    internal static double Improve(Tensor weights, int offset, Curvature inputs, Curvature outputs, QuantizedLinear linear, bool refitScales)
    {
        using var scope = NewDisposeScope();
        var (rows, size) = (outputs.Columns, linear.GroupSize);
        var errors = empty_like(weights);
        linear.Dequantize(offset, rows, TensorMemory.Floats(errors));
        errors.sub_(weights);
        var bent = outputs.H.mm(errors);
        var values = empty(rows, size);
        var gain = 0.0;
        for (var g = 0; g < linear.Groups; g++)
        {
            using var inner = NewDisposeScope();
            var columns = inputs.H.narrow(1, g * (long)size, size);
            var own = columns.narrow(0, g * (long)size, size).contiguous();
            var gradient = bent.mm(columns);
            GroupDescent.Centred(linear, offset, rows, g, TensorMemory.Floats(values));
            var curved = values.mm(own);
            var part = errors.narrow(1, g * (long)size, size);
            var before = part.clone();
            for (var start = 0; start < rows; start += Block)
            {
                using var some = NewDisposeScope();
                var (count, end) = (Math.Min(Block, rows - start), Math.Min(rows, start + Block));
                var changes = empty(count, size);
                gain += ImproveRows(linear, offset, start, g, gradient, curved, values, own, errors, changes, outputs, refitScales);
                if (end < rows)
                    gradient.narrow(0, end, rows - end).addmm_(outputs.H.narrow(0, end, rows - end).narrow(1, start, count), changes, 1, 1);
            }
            bent.narrow(1, g * (long)size, size).addmm_(outputs.H, part.sub(before), 1, 1);
        }
        return gain;
    }

    /// <summary>One group of a block of rows, row by row.</summary>
    /// <param name="changes">Receives, for each row, how it changes the gradient of a row that it is wholly coupled with.</param>
    private static double ImproveRows(QuantizedLinear linear, int offset, int first, int g, Tensor gradient, Tensor curved, Tensor values, Tensor own, Tensor errors,
        Tensor changes, Curvature outputs, bool refitScales)
    {
        var (n, size, rows) = (linear.Columns, linear.GroupSize, outputs.Columns);
        float* v = TensorMemory.Floats(gradient), hc = TensorMemory.Floats(curved), c = TensorMemory.Floats(values), h = TensorMemory.Floats(own),
            e = TensorMemory.Floats(errors), d = TensorMemory.Floats(changes), weight = TensorMemory.Floats(outputs.H);
        var gain = 0.0;
        for (var i = 0; i < changes.shape[0]; i++)
        {
            var row = (long)first + i;
            float* line = weight + row * rows, slope = v + row * size, change = d + i * size;
            for (var j = 0; j < i; j++)
                GroupDescent.AddScaled(slope, d + j * size, line[first + j], size);
            // Over its own weight, the row's part of the form is that of a row alone.
            var importance = line[row];
            for (var k = 0; k < size; k++)
                change[k] = -(slope[k] /= importance);
            gain += importance * GroupDescent.Row(linear, offset + row, g, slope, hc + row * size, c + row * size, h, e + row * n + (long)g * size, refitScales);
            GroupDescent.AddScaled(change, slope, 1, size);
        }
        return gain;
    }
}
