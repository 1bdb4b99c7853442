namespace AwqQuantize;

/// <summary>What became of several models: the information record with the tag <c>AwqSummary</c> at the end holds it.</summary>
public sealed record AwqRunSummary
{
    /// <summary>From beginning to end.</summary>
    public int Quantized { get; init; }

    /// <summary>Interrupted runs that were taken up and finished.</summary>
    public int Resumed { get; init; }

    /// <summary>Left alone, for they were there already.</summary>
    public int AlreadyDone { get; init; }

    /// <summary>Each with an error record.</summary>
    public int Failed { get; init; }

    /// <summary>The user was asked and said no.</summary>
    public int Skipped { get; init; }

    public TimeSpan Duration { get; init; }

    internal int Total => Quantized + Resumed + AlreadyDone + Failed + Skipped;

    public override string ToString()
    {
        (int Count, string What)[] parts = [(Resumed, "resumed"), (AlreadyDone, "done already"), (Skipped, "skipped")];
        return $"{Quantized} quantised, {string.Concat(parts.Where(p => p.Count > 0).Select(p => $"{p.Count} {p.What}, "))}{Failed} failed, in {Display.Duration(Duration)}.";
    }
}
