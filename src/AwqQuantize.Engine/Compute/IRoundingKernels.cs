using static TorchSharp.torch;

namespace AwqQuantize.Engine.Compute;

/// <summary>
/// The element-wise core of rounding in one pass each (Kernels/rounding.cu says what they compute). All tensors are contiguous
/// float32 on the device unless said otherwise.
/// </summary>
public interface IRoundingKernels
{
    /// <summary>Most columns of a block, and of a group.</summary>
    const int MostColumns = 128;

    /// <summary>Ranges of all groups.</summary>
    /// <param name="weights">[rows, groups · size].</param>
    /// <param name="importance">[groups · size], or null for plain minimum and maximum.</param>
    /// <param name="scales">[rows, groups]; overwritten.</param>
    /// <param name="zeros">[rows, groups]; overwritten.</param>
    void Fit(Tensor weights, Tensor? importance, int size, Tensor scales, Tensor zeros);

    /// <summary>Rounds a block of columns, from the last to the first.</summary>
    /// <param name="targets">[width, rows].</param>
    /// <param name="weights">[width, rows].</param>
    /// <param name="factors">[width, sets], or null; as many of the rows one after another belong to each set.</param>
    /// <param name="scale">[width, rows].</param>
    /// <param name="zero">[width, rows].</param>
    /// <param name="factor">[n, n], of which the block from <paramref name="start"/> on is taken.</param>
    /// <param name="start">First column of the block.</param>
    /// <param name="codes">[width, rows]; overwritten.</param>
    /// <param name="errors">[width, rows]; overwritten.</param>
    /// <param name="misses">[width, rows]; overwritten.</param>
    void Compensate(Tensor targets, Tensor weights, Tensor? factors, Tensor scale, Tensor zero, Tensor factor, long start, Tensor codes, Tensor errors, Tensor misses);

    /// <summary>Improves one group of each row.</summary>
    /// <param name="codes">[rows, n]; the group's columns are changed.</param>
    /// <param name="gradients">[rows, any width], the group's from column <paramref name="at"/> on.</param>
    /// <param name="at">Where the group's gradients begin.</param>
    /// <param name="h">[n, n], of which the group's own block is read.</param>
    /// <param name="scales">[rows, groups]; one column of it is changed where <paramref name="refit"/> says so.</param>
    /// <param name="zeros">[rows, groups].</param>
    /// <param name="group">Which.</param>
    /// <param name="errors">[rows, n]; the group's columns are changed.</param>
    /// <param name="refit">Whether scales may change.</param>
    /// <param name="change">[rows, group size]; overwritten with what the errors changed by.</param>
    /// <param name="gains">[rows] float64; what the loss fell by is added.</param>
    void Descend(Tensor codes, Tensor gradients, long at, Tensor h, Tensor scales, Tensor zeros, long group, Tensor errors, bool refit, Tensor change, Tensor gains);
}
