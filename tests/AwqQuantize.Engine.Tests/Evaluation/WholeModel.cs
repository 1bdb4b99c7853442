using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Tokenization;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>A model run the simple way: one row through all layers, losses by a plain loop over the logits in double.</summary>
internal static class WholeModel
{
    public static TextTokenizer TokenizerOf(string folder) => TextTokenizer.Load(folder);

    /// <summary>Negative log-likelihood of each token but the first.</summary>
    public static double[] Losses(ModelSource source, int[] ids)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        using var model = DecoderModel.Open(source.Graph, source.Tensors, CPU);
        var hidden = model.Embed(tensor(ids.Select(i => (long)i).ToArray(), [1, ids.Length]));
        for (var i = 0; i < source.Graph.LayerCount; i++)
        {
            using var layer = model.LoadLayer(i);
            hidden = layer.Forward(hidden);
        }
        var logits = model.Logits(hidden)[0];
        var losses = new double[ids.Length - 1];
        for (var t = 0; t < losses.Length; t++)
        {
            var row = logits[t].data<float>().ToArray();
            var max = row.Max();
            losses[t] = Math.Log(row.Sum(v => Math.Exp(v - max))) + max - row[ids[t + 1]];
        }
        return losses;
    }
}
