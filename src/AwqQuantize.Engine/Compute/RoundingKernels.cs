using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>Hands tensors over to the functions of Kernels/rounding.cu, wherever they run.</summary>
internal abstract unsafe class RoundingKernels : IRoundingKernels
{
    private const string Resource = "AwqQuantize.Engine.Compute.Kernels.rounding.cu";

    /// <summary>The functions' source.</summary>
    public static string Source { get; } = ReadSource();

    /// <summary>The functions' names.</summary>
    public static IReadOnlyList<string> Names { get; } = ["fit", "compensate", "descend"];

    public void Fit(Tensor weights, Tensor? importance, int size, Tensor scales, Tensor zeros)
    {
        var (rows, groups) = (weights.shape[0], (int)(weights.shape[1] / size));
        nint w = At(weights), i = importance is null ? 0 : At(importance), s = At(scales), z = At(zeros);
        var arguments = stackalloc void*[] { &w, &i, &rows, &groups, &size, &s, &z };
        Launch("fit", rows * groups, arguments);
    }

    public void Compensate(Tensor targets, Tensor weights, Tensor? factors, Tensor scale, Tensor zero, Tensor factor, long start, Tensor codes, Tensor errors, Tensor misses)
    {
        var (width, rows, n, sets) = ((int)targets.shape[0], targets.shape[1], factor.shape[1], (int)(factors?.shape[1] ?? 1));
        if (width > IRoundingKernels.MostColumns)
            throw new ArgumentException($"A block has at most {IRoundingKernels.MostColumns} columns, not {width}.");
        nint t = At(targets), w = At(weights), f = factors is null ? 0 : At(factors), s = At(scale), z = At(zero),
            v = At(factor) + (nint)(start * n + start) * sizeof(float), c = At(codes), e = At(errors), m = At(misses);
        var arguments = stackalloc void*[] { &t, &w, &f, &sets, &s, &z, &v, &n, &width, &rows, &c, &e, &m };
        Launch("compensate", rows, arguments);
    }

    public void Descend(Tensor codes, Tensor gradients, long at, Tensor h, Tensor scales, Tensor zeros, long group, Tensor errors, bool refit, Tensor change, Tensor gains)
    {
        var (rows, size, groups, n, width) = (codes.shape[0], (int)change.shape[1], scales.shape[1], codes.shape[1], gradients.shape[1]);
        if (size > IRoundingKernels.MostColumns)
            throw new ArgumentException($"A group has at most {IRoundingKernels.MostColumns} columns, not {size}.");
        var (refits, first) = (refit ? 1 : 0, (nint)group * size);
        nint c = At(codes) + first * sizeof(float), g = At(gradients) + (nint)at * sizeof(float), v = At(h) + (first * (nint)n + first) * sizeof(float),
            s = At(scales) + (nint)group * sizeof(float), z = At(zeros) + (nint)group * sizeof(float), e = At(errors) + first * sizeof(float), d = At(change), gain = At(gains, ScalarType.Float64);
        var arguments = stackalloc void*[] { &c, &g, &width, &v, &n, &s, &z, &groups, &e, &size, &rows, &refits, &d, &gain };
        Launch("descend", rows, arguments);
    }

    /// <summary>Runs a function once for each row or group.</summary>
    /// <param name="arguments">Where each argument's value lies, in the order of the source.</param>
    protected abstract void Launch(string name, long pieces, void** arguments);

    private static nint At(Tensor tensor, ScalarType type = ScalarType.Float32) => tensor.dtype == type && tensor.is_contiguous() ? TensorMemory.Pointer(tensor)
        : throw new ArgumentException($"A contiguous {type} tensor is needed, not {tensor.dtype} with strides {string.Join(", ", tensor.stride())}.");

    private static string ReadSource()
    {
        using var stream = typeof(RoundingKernels).Assembly.GetManifestResourceStream(Resource)!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
