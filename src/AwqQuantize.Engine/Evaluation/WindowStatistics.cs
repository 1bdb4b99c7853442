namespace AwqQuantize.Engine.Evaluation;

/// <summary>Mean of a per-token figure over windows, and its standard error from the spread between windows.</summary>
internal sealed class WindowStatistics
{
    private readonly List<(double Sum, long Count)> windows = [];

    public void Add(double sum, long count) => windows.Add((sum, count));

    public void Add(WindowStatistics other) => windows.AddRange(other.windows);

    public int Windows => windows.Count;

    public long Count => windows.Sum(w => w.Count);

    public double Mean => windows.Sum(w => w.Sum) / Count;

    /// <summary>Ratio estimator: windows are independent draws, each with its own number of tokens. Null for one window.</summary>
    public double? Error
    {
        get
        {
            if (windows.Count < 2)
                return null;
            var mean = Mean;
            var squares = windows.Sum(w => (w.Sum - mean * w.Count) * (w.Sum - mean * w.Count));
            return Math.Sqrt(squares * windows.Count / (windows.Count - 1)) / Count;
        }
    }
}
