using System.Diagnostics;
using System.Globalization;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Tells how far a run is, and how long it will still take: what the plan predicted, corrected more and more by what the work done so
/// far has really taken.
/// </summary>
internal sealed class ProgressMeter
{
    // The prediction counts as much as this much of the run's own work.
    private const double Trust = 0.02;

    private readonly Stopwatch clock = Stopwatch.StartNew();
    private readonly IRunObserver observer;
    private readonly string activity;
    private readonly double[] until;
    private readonly int first;
    private (string Status, Stopwatch Clock, double Began) stretch = ("", new Stopwatch(), 0);

    /// <param name="observer">Told.</param>
    /// <param name="activity">What is done to which model.</param>
    /// <param name="layerSeconds">Predicted time of each layer.</param>
    /// <param name="first">First layer that is still to be done.</param>
    public ProgressMeter(IRunObserver observer, string activity, IReadOnlyList<double> layerSeconds, int first)
    {
        (this.observer, this.activity, this.first) = (observer, activity, first);
        until = new double[layerSeconds.Count + 1];
        for (var i = 0; i < layerSeconds.Count; i++)
            until[i + 1] = until[i] + layerSeconds[i];
    }

    private int Layers => until.Length - 1;

    /// <summary>Inside a layer.</summary>
    public void Layer(int layer, string detail, double fraction) =>
        observer.Progress(new RunProgress(activity, $"layer {layer + 1} of {Layers}", layer, Layers, (layer + fraction) / Layers, Remaining(layer, fraction), detail, fraction));

    private TimeSpan? Remaining(int layer, double fraction)
    {
        var done = until[layer] + fraction * (until[layer + 1] - until[layer]) - until[first];
        var left = until[^1] - until[first] - done;
        var prior = Trust * (until[^1] - until[first]);
        return done + prior > 0 ? TimeSpan.FromSeconds(left * (clock.Elapsed.TotalSeconds + prior) / (done + prior)) : null;
    }

    /// <summary>A layer is committed: one line for those who read a log instead of a progress bar.</summary>
    /// <param name="layer">Index.</param>
    /// <param name="seconds">That it took.</param>
    /// <param name="peak">Most bytes of memory meanwhile.</param>
    public void Committed(int layer, double seconds, long peak) => observer.Decision(string.Create(CultureInfo.InvariantCulture,
        $"Layer {layer + 1} of {Layers}: {seconds:0.0} s, {peak / 1e6:0} MB at most{(layer + 1 < Layers && Remaining(layer, 1) is { } left ? $"; about {(left.TotalMinutes >= 2 ? $"{left.TotalMinutes:0} minutes" : $"{left.TotalSeconds:0} s")} to go" : "")}."));

    /// <summary>Something long before the layers.</summary>
    public void Before(string status, string detail, double fraction) =>
        observer.Progress(new RunProgress(activity, status, 0, Layers, 0, Remaining(status, fraction), detail, fraction));

    /// <summary>Something long after the layers.</summary>
    public void Tuning(string detail, double fraction) =>
        observer.Progress(new RunProgress(activity, "tuning", Layers, Layers, 1, Remaining("tuning", fraction), detail, fraction));

    /// <summary>What is left of something long, by what it has taken since it was first told of; it may begin in the middle.</summary>
    private TimeSpan? Remaining(string status, double fraction)
    {
        if (stretch.Status != status || fraction < stretch.Began || fraction == 0)
            stretch = (status, Stopwatch.StartNew(), fraction);
        var done = fraction - stretch.Began;
        return done > 0.01 ? stretch.Clock.Elapsed * ((1 - fraction) / done) : null;
    }

    /// <summary>Before or after the layers.</summary>
    public void Stage(string status, double fraction) =>
        observer.Progress(new RunProgress(activity, status, fraction < 0.5 ? 0 : Layers, Layers, fraction, fraction < 0.5 ? TimeSpan.FromSeconds(until[^1] - until[first]) : null, null, null));

    /// <summary>The layers begin: what came before is not measured with them.</summary>
    public void Begin() => clock.Restart();
}
