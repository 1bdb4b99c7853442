using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>The tensors of a checkpoint in the <c>pack-quantized</c> format of compressed-tensors.</summary>
internal sealed class PackedTensorSource : DequantizingTensorSource
{
    /// <exception cref="AwqException"><c>AwqTensorInvalid</c>: a module's tensors do not fit each other.</exception>
    public PackedTensorSource(ModelFolder folder) : base(folder)
    {
        foreach (var module in PackedModule.Names(folder.Tensors.Keys))
        {
            if (PackedModule.Problems(module, folder.Tensors, Pointer).FirstOrDefault() is { } problem)
                throw Invalid(problem);
            var shape = folder.Entry(module + PackedModule.Shape);
            var (outputs, inputs) = PackedModule.SizeOf(shape, Pointer(shape));
            Add(module, outputs, inputs, PackedModule.Parts);
        }
    }

    private unsafe nint Pointer(TensorEntry entry) => (nint)Folder.Pointer(entry.Name);

    private protected override unsafe void Dequantize(string module, int outputs, int inputs, Tensor into)
    {
        var (codes, zeros, groups) = PackedModule.Unpack(module, Folder.Tensors, Pointer);
        var scales = new float[zeros.Length];
        Folder.ReadFloat(module + PackedModule.Scales, scales);
        var group = GroupOf(module, inputs, groups);
        var destination = TensorMemory.Floats(into);
        RowParallel.For(outputs, inputs, (from, to) =>
        {
            for (var o = (long)from; o < to; o++)
                for (var i = 0; i < inputs; i++)
                    destination[o * inputs + i] = (codes[o * inputs + i] - zeros[o * groups + group[i]]) * scales[o * groups + group[i]];
        });
        foreach (var part in PackedModule.Parts.Where(p => Folder.Tensors.ContainsKey(module + p)))
            Folder.Release(module + part);
    }

    /// <summary>Group of each input.</summary>
    private unsafe int[] GroupOf(string module, int inputs, int groups)
    {
        if (Folder.Tensors.TryGetValue(module + PackedModule.Groups, out var index))
        {
            var stored = new ReadOnlySpan<int>(Folder.Pointer(index.Name), inputs).ToArray();
            if (!stored.Contains(-1))
                return stored;
        }
        return [.. Enumerable.Range(0, inputs).Select(i => i / (inputs / groups))];
    }
}
