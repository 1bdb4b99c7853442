using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Packing;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>A <see cref="QuantizedLinear"/> while it is worked on on a device: codes, scales and zero points as float32 tensors.</summary>
internal sealed class TensorLinear(int groupSize, Tensor scales, Tensor zeros, long rows, long columns)
{
    private static readonly Scalar Zero = 0, One = 1, Fifteen = 15;

    public int GroupSize => groupSize;

    public long Groups => columns / groupSize;

    /// <summary>[rows, columns], each 0 to 15.</summary>
    public Tensor Codes { get; } = empty(rows, columns, device: scales.device);

    /// <summary>[rows, groups], exact in float16.</summary>
    public Tensor Scales => scales;

    /// <summary>[rows, groups], each 0 to 15.</summary>
    public Tensor Zeros => zeros;

    /// <summary>What a linear's codes mean, [rows, columns] on a device: a quarter of what the weights themselves would be is carried there.</summary>
    public static Tensor Upload(QuantizedLinear linear, ComputeDevice device)
    {
        using var scope = NewDisposeScope();
        Tensor There(Tensor host) => device.Upload(host).to(ScalarType.Float32);
        var codes = linear.Words is null ? There(tensor(linear.Codes)) : TensorPacking.Unpack(device.Upload(frombuffer(linear.Words, ScalarType.Int32)), linear.Rows).to(ScalarType.Float32);
        var zeros = There(tensor(linear.Zeros, [linear.Rows, linear.Groups, 1]));
        var scales = There(tensor(linear.Scales, [linear.Rows, linear.Groups, 1]));
        return codes.view(linear.Rows, linear.Groups, linear.GroupSize).sub_(zeros).mul_(scales).view(linear.Rows, linear.Columns).MoveToOuterDisposeScope();
    }

    /// <summary>A copy of some rows.</summary>
    /// <param name="index">[count] int64.</param>
    public TensorLinear Select(Tensor index)
    {
        var copy = new TensorLinear(groupSize, scales.index_select(0, index), zeros.index_select(0, index), index.shape[0], columns);
        using var codes = Codes.index_select(0, index);
        copy.Codes.copy_(codes);
        return copy;
    }

    /// <summary>Rounds every weight to the nearest code of its group.</summary>
    public void Nearest(Tensor weights)
    {
        using var scope = NewDisposeScope();
        var w = weights.reshape(rows, Groups, groupSize);
        Codes.copy_(w.mul(scales.reciprocal().unsqueeze(2)).round_().add_(zeros.unsqueeze(2), One).clamp_(Zero, Fifteen).view(rows, columns));
    }

    /// <summary>[rows, columns].</summary>
    public Tensor Dequantize()
    {
        using var scope = NewDisposeScope();
        return Codes.view(rows, Groups, groupSize).sub(zeros.unsqueeze(2)).mul_(scales.unsqueeze(2)).view(rows, columns).MoveToOuterDisposeScope();
    }

    /// <summary>Codes packed here, where the format can hold them; zero points as bytes, scales as they are: one copy each.</summary>
    public QuantizedLinear ToHost()
    {
        using var scope = NewDisposeScope();
        var words = rows % 8 == 0 ? GC.AllocateUninitializedArray<int>(checked((int)(rows / 8 * columns))) : null;
        var result = new QuantizedLinear((int)rows, (int)columns, groupSize, words);
        if (words is not null)
            Fill(words, TensorPacking.Pack(Codes));
        else
            Fill(result.Codes, Codes.to(ScalarType.Byte));
        Fill(result.Zeros, zeros.to(ScalarType.Byte));
        Fill(result.Scales, scales);
        return result;

        static void Fill(Array target, Tensor from) => frombuffer(target, from.dtype).copy_(from.reshape(-1));
    }

    /// <summary>Lets the tensors outlive the scope that they were made in.</summary>
    public TensorLinear MoveToOuterScope()
    {
        foreach (var tensor in (Tensor[])[Codes, scales, zeros])
            tensor.MoveToOuterDisposeScope();
        return this;
    }
}
