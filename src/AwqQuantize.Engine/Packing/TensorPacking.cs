using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Packing;

/// <summary>The layout of <see cref="AwqPacking"/> made by operations on whole tensors, where the codes are: an eighth of what they take as float32 is carried to the host.</summary>
internal static class TensorPacking
{
    private const int Octet = 8;

    /// <param name="codes">float32 [out, in], each 0 to 15; out is a multiple of 8.</param>
    /// <returns>int32 [in, out/8].</returns>
    public static Tensor Pack(Tensor codes)
    {
        using var scope = NewDisposeScope();
        var (outputs, inputs) = (codes.shape[0], codes.shape[1]);
        var words = zeros(outputs / Octet, inputs, ScalarType.Int32, codes.device);
        var octets = codes.view(outputs / Octet, Octet, inputs);
        for (var j = 0; j < Octet; j++)
        {
            using var inner = NewDisposeScope();
            words.bitwise_or_(octets.select(1, j).to(ScalarType.Int32).bitwise_left_shift_(Number(AwqPacking.Shift[j], codes.device)));
        }
        return words.t().contiguous().MoveToOuterDisposeScope();
    }

    /// <param name="words">int32, [in, out/8] in a row.</param>
    /// <param name="outputs">Output channels.</param>
    /// <returns>int32 [out, in].</returns>
    public static Tensor Unpack(Tensor words, long outputs)
    {
        using var scope = NewDisposeScope();
        var octets = words.view(-1, outputs / Octet).t();
        var mask = Number(AwqPacking.MaxCode, words.device);
        var codes = Enumerable.Range(0, Octet).Select(j => octets.bitwise_right_shift(Number(AwqPacking.Shift[j], words.device)).bitwise_and_(mask)).ToList();
        return stack(codes, 1).view(outputs, -1).MoveToOuterDisposeScope();
    }

    private static Tensor Number(int value, Device device) => tensor(value, ScalarType.Int32, device);
}
