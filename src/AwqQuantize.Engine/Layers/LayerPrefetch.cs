namespace AwqQuantize.Engine.Layers;

/// <summary>
/// Gives the layers of a model one after another. Where they run on a device, the next one is read and converted in host memory
/// while the device works on this one; on the host that would only take cores and memory from it.
/// </summary>
/// <param name="model">The model, which must outlive this.</param>
/// <param name="ahead">Whether the next layer is read ahead.</param>
public sealed class LayerPrefetch(DecoderModel model, bool ahead) : IDisposable
{
    private Task<LayerWeights>? next;
    private int nextIndex;

    /// <summary>Layers whose weights were there when they were asked for, or on their way.</summary>
    public int Hits { get; private set; }

    /// <summary>A layer, ready to run. The caller disposes it.</summary>
    public DecoderLayer Take(int index)
    {
        LayerWeights weights;
        if (next is not null && nextIndex == index)
        {
            (weights, next) = (next.GetAwaiter().GetResult(), null);
            Hits++;
        }
        else
            weights = model.ReadLayer(index);
        var layer = model.Place(index, weights);
        if (ahead && index + 1 < model.Graph.LayerCount)
        {
            Drop();
            nextIndex = index + 1;
            next = Task.Run(() => model.ReadLayer(nextIndex));
        }
        return layer;
    }

    public void Dispose() => Drop();

    private void Drop()
    {
        if (next is null)
            return;
        // A layer that nobody took is freed when it is there; what went wrong with it concerns nobody.
        next.ContinueWith(read => read.Result.Dispose(), TaskContinuationOptions.OnlyOnRanToCompletion).ContinueWith(_ => { }).Wait();
        next = null;
    }
}
