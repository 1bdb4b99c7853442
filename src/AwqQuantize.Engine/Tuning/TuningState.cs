namespace AwqQuantize.Engine.Tuning;

/// <summary>How far a tuning is.</summary>
internal sealed record TuningState
{
    public int Step { get; set; }

    public int BestStep { get; set; }

    /// <summary>Looks at the held-out rows since the last gain.</summary>
    public int Fruitless { get; set; }

    /// <summary>Held-out divergence before the first step.</summary>
    public double Before { get; set; }

    /// <summary>The least so far.</summary>
    public double Best { get; set; }
}
