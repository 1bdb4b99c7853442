using AwqQuantize.Engine.Architectures;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>What the gradients g of the model's loss by the outputs of a layer's linears say (see <see cref="GradientWalk"/>).</summary>
/// <param name="norms">‖g‖ of each calibration token, row by row, by module; only of linears that all tokens reach.</param>
/// <param name="length">Tokens of a calibration row.</param>
/// <param name="grams">The Gram matrices of a module's outputs (see <see cref="GradientWalk.Gathered"/>), handed over to the caller; null where there are none.</param>
public sealed class LayerGradients(IReadOnlyDictionary<string, float[]> norms, int length, Func<string, IReadOnlyList<Tensor>?> grams)
{
    /// <summary>Matrices of a linear, one for each <see cref="CoupledRounding.Part"/> of its rows, their mean diagonal 1; handed over to the caller.</summary>
    public IReadOnlyList<Tensor>? Grams(LinearSpec linear)
    {
        if (grams(linear.Module) is not { } matrices)
            return null;
        foreach (var matrix in matrices)
        {
            using var scope = NewDisposeScope();
            matrix.div_(matrix.diagonal().mean().clamp_min(1e-30));
        }
        return matrices;
    }

    /// <summary>
    /// How much each token counts in the statistics of a site: ‖g‖, on average over the linears that read it. A token's part of the loss
    /// is (g gᵀ) ⊗ (x xᵀ). What remains of it, (g gᵀ) / ‖g‖, is the other factor's, so that neither is left to the few tokens with the
    /// largest gradients, the first of a text above all.
    /// </summary>
    /// <param name="modules">Linears that read the site.</param>
    /// <returns>Null where nothing is known.</returns>
    internal Weighting? TokenWeights(IReadOnlyList<string> modules)
    {
        var known = modules.Where(norms.ContainsKey).Select(m => norms[m]).Where(n => n.Any(v => v > 0)).ToList();
        if (known.Count == 0)
            return null;
        var weights = new double[known[0].Length];
        foreach (var own in known)
        {
            var mean = own.Average(v => (double)v);
            for (var i = 0; i < weights.Length; i++)
                weights[i] += own[i] / mean / known.Count;
        }
        return new Weighting(Array.ConvertAll(weights, w => (float)Math.Sqrt(w)), length);
    }

    /// <summary>Weights of all tokens, their mean 1.</summary>
    /// <param name="roots">Their roots, row by row.</param>
    /// <param name="length">Tokens of a row.</param>
    internal sealed class Weighting(float[] roots, int length)
    {
        /// <summary>Roots of the weights of some rows.</summary>
        /// <param name="from">First row.</param>
        /// <param name="count">Rows.</param>
        /// <param name="left">What is left of each: rows may have become shorter.</param>
        public float[] Roots(int from, int count, int left)
        {
            var result = new float[count * left];
            for (var row = 0; row < count; row++)
                Array.Copy(roots, (long)(from + row) * length, result, (long)row * left, left);
            return result;
        }
    }
}
