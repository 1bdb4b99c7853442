namespace AwqQuantize.Engine.Packing;

/// <summary>One linear in the AWQ GEMM format.</summary>
/// <param name="In">Input channels; a multiple of <paramref name="GroupSize"/>.</param>
/// <param name="Out">Output channels; a multiple of 8.</param>
/// <param name="GroupSize">Input channels that share a scale and a zero point; never -1 here, but <paramref name="In"/>.</param>
/// <param name="QWeight">int32 [In, Out/8]: eight codes each.</param>
/// <param name="QZeros">int32 [In/GroupSize, Out/8]: eight zero points each.</param>
/// <param name="Scales">float16 [In/GroupSize, Out].</param>
public sealed record AwqTensors(int In, int Out, int GroupSize, int[] QWeight, int[] QZeros, Half[] Scales)
{
    public long[] QWeightShape => [In, Out / 8];

    public long[] QZerosShape => [In / GroupSize, Out / 8];

    public long[] ScalesShape => [In / GroupSize, Out];
}
