using System.Diagnostics;
using System.Globalization;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Tells how far a run is, and how long it will still take: what the plan predicted, corrected more and more by what the present part
/// of the run has really taken so far.
/// </summary>
internal sealed class ProgressMeter
{
    // The prediction counts as much as this much of the work that is left when a part begins.
    private const double Trust = 0.02;

    // Those who read a log see that much of it at least.
    private static readonly TimeSpan Silence = TimeSpan.FromMinutes(2);

    private readonly Stopwatch clock = Stopwatch.StartNew(), silence = Stopwatch.StartNew();
    private readonly IRunObserver observer;
    private readonly string activity;
    private readonly double[] until;
    private readonly double total;
    private string part = "";
    private double began, furthest;

    /// <param name="observer">Told.</param>
    /// <param name="activity">What is done to which model.</param>
    /// <param name="before">Predicted seconds before the layers.</param>
    /// <param name="layerSeconds">Predicted seconds of each layer.</param>
    /// <param name="after">Predicted seconds after them.</param>
    /// <param name="first">First layer that is still to be done.</param>
    public ProgressMeter(IRunObserver observer, string activity, double before, IReadOnlyList<double> layerSeconds, double after, int first)
    {
        (this.observer, this.activity) = (observer, activity);
        until = new double[layerSeconds.Count + 1];
        until[0] = before;
        for (var i = 0; i < layerSeconds.Count; i++)
            until[i + 1] = until[i] + layerSeconds[i];
        total = until[^1] + after;
        began = furthest = first == 0 ? 0 : until[first];
    }

    private int Layers => until.Length - 1;

    /// <summary>Something short around the layers.</summary>
    public void Stage(string status) => Tell(status, until.Skip(1).Count(u => u <= furthest), furthest, null, null);

    /// <summary>Something long before the layers.</summary>
    public void Before(string status, string detail, double fraction)
    {
        Enter(status, fraction * until[0]);
        Log(Tell(status, 0, fraction * until[0], detail, fraction), $"{char.ToUpperInvariant(status[0])}{status[1..]}: {detail}");
    }

    /// <summary>The layers begin: what came before is not measured with them.</summary>
    /// <param name="first">The first that is still to be done.</param>
    public void Begin(int first) => Enter("layers", until[first]);

    /// <summary>Inside a layer.</summary>
    public void Layer(int layer, string detail, double fraction) =>
        Tell($"layer {layer + 1} of {Layers}", layer, until[layer] + fraction * (until[layer + 1] - until[layer]), detail, fraction);

    /// <summary>A layer is committed: one line for those who read a log instead of a progress bar.</summary>
    /// <param name="layer">Index.</param>
    /// <param name="seconds">That it took.</param>
    /// <param name="peak">Most bytes of memory meanwhile.</param>
    public void Committed(int layer, double seconds, long peak)
    {
        furthest = Math.Max(furthest, until[layer + 1]);
        observer.Decision(string.Create(CultureInfo.InvariantCulture,
            $"Layer {layer + 1} of {Layers}: {seconds:0.0} s, {peak / 1e6:0} MB at most{ToGo(Remaining(until[layer + 1]))}."));
        silence.Restart();
    }

    /// <summary>Tuning, after the layers.</summary>
    public void Tuning(string detail, double fraction)
    {
        var position = until[^1] + fraction * (total - until[^1]);
        Enter("tuning", position);
        Log(Tell("tuning", Layers, position, detail, fraction), $"Tuning: {detail}");
    }

    /// <summary>A part may begin in the middle, where a run is taken up again.</summary>
    private void Enter(string name, double position)
    {
        if (part == name)
            return;
        (part, began) = (name, position);
        clock.Restart();
    }

    private TimeSpan? Tell(string status, int step, double position, string? detail, double? fraction)
    {
        furthest = Math.Max(furthest, position);
        var left = Remaining(position);
        observer.Progress(new RunProgress(activity, status, step, Layers, total > 0 ? position / total : 0, left, detail, fraction));
        return left;
    }

    private void Log(TimeSpan? left, string line)
    {
        if (silence.Elapsed < Silence)
            return;
        observer.Decision($"{line}{ToGo(left)}.");
        silence.Restart();
    }

    private TimeSpan? Remaining(double position)
    {
        var (done, prior) = (position - began, Trust * (total - began));
        return done + prior > 0 ? TimeSpan.FromSeconds((total - position) * (clock.Elapsed.TotalSeconds + prior) / (done + prior)) : null;
    }

    private static string ToGo(TimeSpan? left) => left is not { TotalSeconds: > 0 } time ? ""
        : string.Create(CultureInfo.InvariantCulture, $"; about {(time.TotalMinutes >= 2 ? $"{time.TotalMinutes:0} minutes" : $"{time.TotalSeconds:0} s")} to go");
}
