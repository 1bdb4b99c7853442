using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Runs;

/// <summary>A linear's weight or another parameter as rows of float32, straight from the map, whatever the checkpoint's layout is.</summary>
internal sealed unsafe class ParameterSource
{
    private readonly ModelFolder folder;
    private readonly TensorDtype dtype;
    private readonly string name;
    private readonly float[]? values; // of a tensor that is not stored as floats
    private readonly ParameterSpec parameter;
    private readonly long first; // element of the stored tensor at which the (expert's) matrix begins
    private readonly long stride; // from one row to the next, or, transposed, from one input to the next
    private readonly int size;

    /// <param name="folder">The model.</param>
    /// <param name="parameter">What is wanted of it.</param>
    /// <param name="values">The whole stored tensor where it has to be unpacked first (MXFP4), else null.</param>
    public ParameterSource(ModelFolder folder, ParameterSpec parameter, float[]? values = null)
    {
        (this.folder, this.parameter, this.values, name) = (folder, parameter, values, parameter.Stored.Name);
        if (values is null)
            ModelFolder.RequireFloat(folder.Entry(name));
        dtype = values is null ? folder.Entry(name).Dtype : TensorDtype.F32;
        size = dtype.BitSize() / 8;
        var shape = parameter.Expert >= 0 ? SliceOf(parameter) : parameter.Stored.Shape;
        first = parameter.Expert >= 0 ? parameter.Expert * shape.Aggregate(1L, (a, b) => a * b) : 0;
        // Like LayerWeights: a transposed vector is itself.
        stride = shape.Length > 1 ? shape[^1] : 1;
        Rows = (int)(parameter.Shape.Length > 0 ? parameter.Shape[0] : 1);
        Columns = (int)(parameter.Shape.Aggregate(1L, (a, b) => a * b) / Math.Max(1, Rows));
        Step = shape.Length == 0 || (IsTransposed(shape) ? shape[^1] : shape[0]) == Rows ? 1 : parameter.RowStep;
        Start = shape.Length == 0 || (IsTransposed(shape) ? shape[^1] : shape[0]) == Rows ? 0 : parameter.RowStart;
        Transposed = IsTransposed(shape);
        if (!Transposed && shape.Length > 1)
            stride = Columns;

        bool IsTransposed(long[] s) => parameter.Transposed && s.Length == 2;
    }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>The first of the stored matrix's rows, and from one to the next.</summary>
    private int Start { get; }

    private int Step { get; }

    private bool Transposed { get; }

    /// <summary>Whether a row's values lie side by side, so that <see cref="ReadRow"/> can take a part of it.</summary>
    public bool HasRows => !Transposed;

    /// <summary>Converts a piece of one row.</summary>
    /// <param name="row">Which.</param>
    /// <param name="column">The first of its columns.</param>
    /// <param name="count">How many.</param>
    /// <param name="destination">[count].</param>
    public void ReadRow(int row, int column, int count, float* destination)
    {
        var element = (Start + (long)row * Step) * stride + column;
        if (values is null)
            FloatConversion.ToFloat(dtype, At(folder.Pointer(name), element), destination, count);
        else
            values.AsSpan(checked((int)(first + element)), count).CopyTo(new Span<float>(destination, count));
    }

    /// <summary>Converts rows.</summary>
    /// <param name="from">The first.</param>
    /// <param name="count">How many.</param>
    /// <param name="destination">[count, Columns].</param>
    public void Read(int from, int count, float* destination)
    {
        if (values is null)
            Read(folder.Pointer(name), from, count, destination);
        else
            fixed (float* data = values)
                Read((byte*)data, from, count, destination);
    }

    private void Read(byte* data, int from, int count, float* destination)
    {
        if (!Transposed)
        {
            if (Step == 1)
                FloatConversion.ToFloat(dtype, At(data, (long)(Start + from) * stride), destination, (long)count * Columns);
            else
                for (var row = 0; row < count; row++)
                    FloatConversion.ToFloat(dtype, At(data, (Start + (long)(from + row) * Step) * stride), destination + (long)row * Columns, Columns);
            return;
        }
        // A stored row holds one input of all outputs: the outputs asked for lie side by side in it.
        var span = (count - 1) * Step + 1;
        var line = new float[span];
        fixed (float* some = line)
            for (var input = 0; input < Columns; input++)
            {
                FloatConversion.ToFloat(dtype, At(data, input * stride + Start + (long)from * Step), some, span);
                for (var row = 0; row < count; row++)
                    destination[(long)row * Columns + input] = some[row * Step];
            }
    }

    private byte* At(byte* data, long element) => data + (first + element) * size;

    /// <summary>Gives the pages back; of a stacked tensor only those of this slice.</summary>
    public void Release()
    {
        if (values is not null)
            return;
        if (parameter.Expert < 0 && parameter.Stored.Shape.Aggregate(1L, (a, b) => a * b) == (long)Rows * Columns)
            folder.Release(name);
        else if (parameter.Expert >= 0 && !Transposed)
            folder.Release(name, first * size, (long)Rows * Columns * size);
    }

    private static long[] SliceOf(ParameterSpec parameter)
    {
        var shape = parameter.Stored.Shape;
        return shape[0] == parameter.Experts ? shape[1..] : [shape[0] / parameter.Experts, .. shape[1..]];
    }
}
