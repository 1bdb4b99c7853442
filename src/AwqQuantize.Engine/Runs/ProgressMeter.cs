using System.Diagnostics;

namespace AwqQuantize.Engine.Runs;

/// <summary>Tells how far a run is, and how long it will still take: layers are alike, so their mean time says it.</summary>
internal sealed class ProgressMeter(IRunObserver observer, string activity, int layers, int first)
{
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private Stopwatch? tuning;
    private double began;

    /// <summary>Inside a layer.</summary>
    public void Layer(int layer, string detail, double fraction)
    {
        var done = layer - first + fraction;
        TimeSpan? remaining = done > 0.3 ? clock.Elapsed * ((layers - layer - fraction) / done) : null;
        observer.Progress(new RunProgress(activity, $"layer {layer + 1} of {layers}", layer, layers, (layer + fraction) / layers, remaining, detail, fraction));
    }

    /// <summary>Something long before the layers; their time is counted from its end on.</summary>
    public void Before(string status, string detail, double fraction)
    {
        clock.Restart();
        observer.Progress(new RunProgress(activity, status, 0, layers, 0, null, detail, fraction));
    }

    /// <summary>Something long after the layers.</summary>
    public void Tuning(string detail, double fraction)
    {
        if (tuning is null || fraction == 0)
            (tuning, began) = (Stopwatch.StartNew(), fraction);
        TimeSpan? remaining = fraction - began > 0.01 ? tuning.Elapsed * ((1 - fraction) / (fraction - began)) : null;
        observer.Progress(new RunProgress(activity, "tuning", layers, layers, 1, remaining, detail, fraction));
    }

    /// <summary>Before or after the layers.</summary>
    public void Stage(string status, double fraction) =>
        observer.Progress(new RunProgress(activity, status, fraction < 0.5 ? 0 : layers, layers, fraction, null, null, null));
}
